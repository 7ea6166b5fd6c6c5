//! Finding a text in whatever spelling it may have been written.

use super::forge::{STANDARD, URL, base64_by};

/// A text that must not appear, in all its spellings.
pub(super) struct Mark {
    name: &'static str,
    /// In lower case; base64 as it is.
    folded: Vec<String>,
    exact: Vec<String>,
}

impl Mark {
    /// Plain, percent-encoded, as hex and as a part of base64.
    pub(super) fn new(name: &'static str, text: &str) -> Self {
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{:?}", text.as_bytes());
        let list = list.trim_matches(['[', ']']).to_owned();
        let folded = vec![text.to_lowercase(), escaped, hex, list];
        let mut exact = Vec::new();
        for alphabet in [URL, STANDARD] {
            // Where the text begins within a group of three shifts all letters.
            for before in 0..3 {
                let padded = [&[0; 3][..before], text.as_bytes()].concat();
                let coded = base64_by(alphabet, &padded);
                let own = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
                exact.push(coded[own].to_owned());
            }
        }
        Self { name, folded, exact }
    }

    /// A text that is looked for as it is.
    pub(super) fn exact(name: &'static str, text: &str) -> Self {
        Self { name, folded: Vec::new(), exact: vec![text.to_owned()] }
    }

    fn is_in(&self, text: &str, lower: &str) -> bool {
        self.folded.iter().any(|form| lower.contains(form))
            || self.exact.iter().any(|form| text.contains(form))
    }
}

/// The names of those that are in the text.
pub(super) fn traces(marks: &[Mark], text: &str) -> Vec<&'static str> {
    let lower = text.to_lowercase();
    marks.iter().filter(|mark| mark.is_in(text, &lower)).map(|mark| mark.name).collect()
}

#[test]
fn every_spelling_is_found() {
    let text = "zkMarkOf7Qp9x";
    let marks = [Mark::new("it", text), Mark::exact("signature", "abc-_")];
    let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let found = [
        format!("x{text}y"),
        text.to_uppercase(),
        escaped,
        format!("{:?}", format!("\"{text}\"").as_bytes()),
        format!("{:x?}", text.as_bytes()).replace([',', ' '], ""),
        "xabc-_x".to_owned(),
    ];
    for text in found {
        assert_eq!(traces(&marks, &text).len(), 1, "{text}");
    }
    for front in ["", "a", "ab", "abc", "{\"sub\":\""] {
        for alphabet in [URL, STANDARD] {
            let coded = base64_by(alphabet, format!("{front}{text}\u{3ff}\""));
            assert_eq!(traces(&marks, &coded), ["it"], "{front}");
        }
    }
    assert!(traces(&marks, "zkMarkOf7Qp9 x ABC-_").is_empty());
}
