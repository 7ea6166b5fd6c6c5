//! Sizes a reader can hold in the head.

use syn::visit::{self, Visit};

use crate::source::File;

const FILE_LINES_MAX: usize = 500;
const TEST_FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// The dispatcher grows first, so it is kept shorter than the rest.
const DISPATCHER_LINES_MAX: usize = 300;
const DISPATCHERS: [&str; 3] =
    ["src/worker/turn.rs", "src/worker/mod.rs", "src/worker/dispatch.rs"];

/// Files and functions that are too long.
pub(crate) fn check(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let lines_max = if DISPATCHERS.contains(&file.path.as_str()) {
        DISPATCHER_LINES_MAX
    } else if file.is_test() {
        TEST_FILE_LINES_MAX
    } else {
        FILE_LINES_MAX
    };
    let lines = file.text.lines().count();
    let mut findings = Vec::new();
    if lines > lines_max {
        findings.push(format!("{}: {lines} lines, at most {lines_max}", file.path));
    }
    match syn::parse_file(&file.text) {
        Ok(syntax) => {
            let mut functions = Functions { path: &file.path, findings };
            functions.visit_file(&syntax);
            functions.findings
        }
        Err(error) => {
            findings.push(format!("{}: {error}", file.path));
            findings
        }
    }
}

struct Functions<'a> {
    path: &'a str,
    findings: Vec<String>,
}

impl Functions<'_> {
    /// From the line of `fn` to the line of the closing brace; docs and attributes do not count.
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            self.findings.push(format!(
                "{}:{first}: {name} has {lines} lines, at most {FUNCTION_LINES_MAX}",
                self.path
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(count("src/hub/mod.rs", &"// line\n".repeat(500)), 0);
        assert_eq!(count("src/hub/mod.rs", &"// line\n".repeat(501)), 1);
        assert_eq!(count("src/hub/tests.rs", &"// line\n".repeat(800)), 0);
        assert_eq!(count("src/hub/tests.rs", &"// line\n".repeat(801)), 1);
        assert_eq!(count("src/worker/turn.rs", &"// line\n".repeat(301)), 1);
    }

    #[test]
    fn a_long_function_is_found_wherever_it_stands() {
        // Two lines for the signature and the closing brace.
        for (lines, expected) in [(68, 0), (69, 1)] {
            let body = "let _ = 1;\n".repeat(lines);
            let function = format!("fn f() {{\n{body}}}");
            for text in [
                function.clone(),
                format!("impl A {{\n{function}\n}}"),
                format!("trait A {{\n{function}\n}}"),
                format!("mod tests {{\n{function}\n}}"),
                format!("/// Long\n/// docs.\n#[inline]\n{function}"),
            ] {
                assert_eq!(count("src/hub/mod.rs", &text), expected, "{text}");
            }
        }
    }
}
