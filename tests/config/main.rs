//! Configuration as the real binary reads it: broken files with what is said about each, layers,
//! profiles, pages, reload.

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod layers;
mod pages;
mod profiles;
mod reload;
mod run;
