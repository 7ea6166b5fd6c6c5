//! Raw kernel interface: the one address of `unsafe` outside the journal ring.
#![allow(unsafe_code)]
