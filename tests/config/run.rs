//! Runs the binary in a folder with chosen files and variables.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::server::{command, new_folder};

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A new folder with these files; goes with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = new_folder();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("written");
        }
        Self(folder)
    }

    pub(crate) fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        run_in(&self.0, args, env)
    }

    /// The value of `config show --format json` and its origin.
    pub(crate) fn shown(&self, key: &str, args: &[&str], env: &[(&str, &str)]) -> (Value, String) {
        let all = self.show(args, env);
        let one = &all[key];
        assert!(one.is_object(), "{key} is not shown: {all:#}");
        (one["value"].clone(), one["origin"].as_str().expect("an origin").to_owned())
    }

    /// `config show --format json`.
    pub(crate) fn show(&self, args: &[&str], env: &[(&str, &str)]) -> Value {
        let mut all = vec!["config", "show", "--format", "json"];
        all.extend_from_slice(args);
        let output = self.run(&all, env);
        assert_eq!(output.code, Some(0), "{output:?}");
        serde_json::from_str(&output.stdout).expect("JSON")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn run_in(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let output = command(folder, env).args(args).output().expect("the binary runs");
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
