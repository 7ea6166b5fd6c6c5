//! What is said about a configuration, and where a value came from.

use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file (1 is the first; 0: the file as a whole).
    File {
        /// As it was named.
        path: Arc<str>,
        /// Its line.
        line: usize,
    },
    /// A variable in a file of variables.
    DotEnv {
        /// Its line.
        line: usize,
        /// The variable.
        name: Arc<str>,
    },
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A flag.
    Flag(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => f.write_str(path),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::DotEnv { line, name } if name.is_empty() => write!(f, ".env:{line}"),
            Self::DotEnv { line, name } => write!(f, ".env:{line} {name}"),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Origin {
    /// The same file, another line; any other origin unchanged.
    pub(super) fn at_line(&self, line: usize) -> Self {
        match self {
            Self::File { path, .. } if line > 0 => Self::File { path: Arc::clone(path), line },
            _ => self.clone(),
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Worth a look; the server runs.
    Warning,
    /// The server does not start with it.
    Error,
}

/// One thing said about a configuration, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// File and line, variable or flag.
    pub origin: Origin,
    /// The key; empty where there is none.
    pub key: String,
    /// The value as it was written, never a secret's.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub cure: String,
}

impl Finding {
    pub(super) fn error(origin: Origin, key: &str, problem: &str, cure: &str) -> Self {
        Self {
            severity: Severity::Error,
            origin,
            key: key.to_owned(),
            value: None,
            problem: problem.to_owned(),
            cure: cure.to_owned(),
        }
    }

    pub(super) fn warning(origin: Origin, key: &str, problem: &str, cure: &str) -> Self {
        Self { severity: Severity::Warning, ..Self::error(origin, key, problem, cure) }
    }

    /// With the value as it was written.
    pub(super) fn with(mut self, value: String) -> Self {
        self.value = Some(value);
        self
    }
}

/// Puts errors first, then by layer and line.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| {
        let (layer, line) = match finding.origin {
            Origin::Default => (0, 0),
            Origin::File { line, .. } => (1, line),
            Origin::DotEnv { line, .. } => (2, line),
            Origin::Variable(_) => (3, 0),
            Origin::Flag(_) => (4, 0),
        };
        (finding.severity == Severity::Warning, layer, line)
    });
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}; {}", self.problem, self.cure)
    }
}
