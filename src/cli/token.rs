//! `ringcast token`: prints a signed token.

use std::process::ExitCode;

use super::SourceArgs;
use crate::auth::grant::{self, GRANTED_PARAMETER, SIGNATURE_PARAMETER};
use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, Keys, ttl};
use crate::control::exit;
use crate::driver::sys;
use crate::proto::channel::Selector;

/// Flags of `token`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// The user's id.
    #[arg(long, required_unless_present = "grant")]
    sub: Option<String>,
    /// Instead of a token: the query that grants just this channel or pattern to whoever has it
    /// (`grant=...&s=...`).
    #[arg(long, value_name = "CHANNEL", conflicts_with_all = ["sub", "tenant", "channels", "publish", "admin"])]
    grant: Option<String>,
    /// The tenant's id.
    #[arg(long)]
    tenant: Option<String>,
    /// Names and patterns it may subscribe to [default: every unreserved name].
    #[arg(long, value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// Names and patterns it may publish to [default: none].
    #[arg(long, value_delimiter = ',')]
    publish: Vec<String>,
    /// An admin's token.
    #[arg(long)]
    admin: bool,
    /// How long it is valid [default: JWT_SSE_EXPIRES_IN, or 7d].
    #[arg(long)]
    ttl: Option<String>,
}

/// `ringcast token`.
pub(super) fn run(args: &TokenArgs) -> ExitCode {
    let settings = match args.sources.load() {
        Ok(loaded) => loaded.settings,
        Err(code) => return code,
    };
    let fail = |text: String| {
        eprintln!("ringcast: {text}");
        ExitCode::from(exit::CONFIG)
    };
    if !settings.auth.has_secret() {
        return fail("no secret: set JWT_SECRET (or JWT_SECRET_FILE) to the server's".to_owned());
    }
    let ttl_s = match args.ttl.as_deref().map(ttl::parse).transpose() {
        Ok(ttl_s) => ttl_s.unwrap_or(settings.auth.token_ttl),
        Err(error) => return fail(format!("--ttl: {error}")),
    };
    let request = TokenRequest {
        sub: args.sub.clone(),
        tenant: args.tenant.clone(),
        channels: args.channels.clone(),
        publish: args.publish.clone(),
        admin: args.admin,
        ttl_s: Some(ttl_s),
    };
    let keys = match Keys::new(settings.auth.secrets()) {
        Ok(keys) => keys,
        Err(error) => return fail(format!("JWT_SECRET: {error}")),
    };
    let now_unix_s = sys::unix_ms() / 1_000;
    if let Some(granted) = &args.grant {
        return match grant_query(granted, now_unix_s.saturating_add(ttl_s), &keys) {
            Ok(query) => {
                println!("{query}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(format!("--grant: {error}")),
        };
    }
    let signed = request
        .claims(&settings.auth.rules(), now_unix_s)
        .and_then(|claims| sign(&claims, &keys, Algorithm::Hs256));
    match signed {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error.to_string()),
    }
}

/// The query that grants a channel or pattern.
fn grant_query(granted: &str, expires_unix_s: u64, keys: &Keys) -> Result<String, String> {
    let selector = Selector::parse(granted).map_err(|error| error.to_string())?;
    let signature = grant::mint(&selector, expires_unix_s, keys).map_err(|e| e.to_string())?;
    let granted = super::client::encode(granted, b":.*");
    Ok(format!("{GRANTED_PARAMETER}={granted}&{SIGNATURE_PARAMETER}={signature}"))
}
