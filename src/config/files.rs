//! The only place of this room that touches the machine: reads files that somebody named.

use std::io::Read;
use std::path::Path;

/// Largest file of configuration, variables or a secret.
const BYTES_MAX: u64 = 4 << 20;

/// The text of a file. The error says what is wrong with it, not its content.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| cannot(&error))?;
    let read =
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| cannot(&error))?;
    if read as u64 > BYTES_MAX {
        return Err(format!("larger than {} MiB", BYTES_MAX >> 20));
    }
    Ok(text)
}

/// The same; a file that is not there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => read(path).map(Some),
    }
}

fn cannot(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read the file".to_owned(),
        std::io::ErrorKind::InvalidData => "the file is no UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a folder, not a file".to_owned(),
        kind => format!("the file cannot be read ({kind})"),
    }
}
