//! Asking the operators' address of a running server.

use std::time::Duration;

/// Answers must come within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where it is, and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct OperatorArgs {
    /// Operators' address of the server.
    #[arg(long, env = "RINGCAST_ADMIN_URL", default_value = "http://127.0.0.1:8081")]
    admin: String,
    /// An admin's token, where the address asks for one.
    #[arg(long, env = "RINGCAST_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// One who asks.
pub(super) struct Operator<'a> {
    agent: ureq::Agent,
    args: &'a OperatorArgs,
}

impl<'a> Operator<'a> {
    pub(super) fn new(args: &'a OperatorArgs) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .build();
        Self { agent: agent.into(), args }
    }

    /// What lies at a path; an error is one line for the user.
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let url = format!("{}{path}", self.args.admin.trim_end_matches('/'));
        let mut request = self.agent.get(&url);
        if let Some(token) = &self.args.token {
            request = request.header("Authorization", &format!("Bearer {token}"));
        }
        let mut answer = request.call().map_err(|error| format!("{url}: {error}"))?;
        match answer.status().as_u16() {
            200 => {
                let text = answer.body_mut().read_to_string();
                let text = text.map_err(|error| format!("{url}: {error}"))?;
                serde_json::from_str(&text).map_err(|error| format!("{url}: {error}"))
            }
            401 | 403 => Err(format!("{url}: an admin's token is needed: --token")),
            status => Err(format!("{url}: {status}; is this an operators' address?")),
        }
    }
}
