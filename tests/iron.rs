//! Sealed texts between this crate and the two npm packages of the form, both ways.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringcast::auth::iron::{self, IronError, IronKeys, RANDOM_BYTES};
use serde_json::{Value, json};

const PACKAGES: [&str; 2] = ["@hapi/iron", "iron-webcrypto"];
const PASSWORD: &str = "a password of at least 32 characters, é";
const OTHER: &str = "another password, of 32 characters or more";

/// The packages, behind a program that answers line by line. Killed by its id when dropped.
struct Packages {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Packages {
    fn start() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/iron.mjs");
        let mut child = Command::new("node")
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error} (run `make setup`)"));
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.input, "{question}").expect("the program reads");
        let mut line = String::new();
        let count = self.output.read_line(&mut line).expect("the program answers");
        assert!(count > 0, "the program ended (run `make setup`)");
        let mut answer: Value = serde_json::from_str(&line).expect("JSON");
        match answer["error"].take() {
            Value::Null => Ok(answer["value"].take()),
            error => Err(error.to_string()),
        }
    }

    fn seal(&mut self, package: &str, value: &Value, password: &Value, ttl: i64) -> String {
        let question = json!({
            "package": package, "do": "seal", "value": value, "password": password, "ttl": ttl,
        });
        self.ask(&question).expect("sealed").as_str().expect("a text").to_owned()
    }

    fn unseal(&mut self, package: &str, text: &str, password: &Value) -> Result<Value, String> {
        let question =
            json!({ "package": package, "do": "unseal", "value": text, "password": password });
        self.ask(&question)
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now_unix_ms() -> u64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis().try_into().expect("64 bits")
}

fn random(seed: u64) -> [u8; RANDOM_BYTES] {
    let mut random = fastrand::Rng::with_seed(seed);
    std::array::from_fn(|_| random.u8(..))
}

/// Values whose text has every length of a block's rest, and what JSON can hold.
fn values() -> Vec<Value> {
    let lengths = (0..40).map(|len| Value::from("x".repeat(len)));
    let others = [
        json!({}),
        json!(null),
        json!([1, 2.5, "três", { "a": null }]),
        json!({ "update_type": "new_number", "number": { "value": 25, "color": "red" } }),
        json!({ "text": "line\nend \u{1f600} \u{0} \"quoted\"" }),
        Value::from("é".repeat(20_000)),
    ];
    lengths.chain(others).collect()
}

#[test]
fn the_packages_unseal_what_is_sealed_here() {
    let mut packages = Packages::start();
    let single = IronKeys::single(PASSWORD).expect("a key");
    let named = IronKeys::new([("key_2", OTHER), ("key_1", PASSWORD)]).expect("keys");
    let passwords = json!({ "key_1": PASSWORD, "key_2": OTHER });
    for package in PACKAGES {
        for (seed, value) in (0..).zip(values()) {
            for (keys, password) in [(&single, &json!(PASSWORD)), (&named, &passwords)] {
                let expires = (seed % 2 == 0).then(|| now_unix_ms() + 60_000);
                let text = value.to_string();
                let sealed = iron::seal(&text, keys, &random(seed), expires).expect("sealed");
                let read = packages.unseal(package, &sealed, password).expect(package);
                assert_eq!(read, value, "{package}");
            }
        }
        let late = iron::seal("1", &single, &random(1), Some(1)).expect("sealed");
        packages.unseal(package, &late, &json!(PASSWORD)).expect_err("it has expired");
        packages.unseal(package, &late, &json!(OTHER)).expect_err("another password");
    }
}

#[test]
fn what_the_packages_seal_unseals_here() {
    let mut packages = Packages::start();
    let single = IronKeys::single(PASSWORD).expect("a key");
    let named = IronKeys::new([("key_2", OTHER), ("key_1", PASSWORD)]).expect("keys");
    for package in PACKAGES {
        for (number, value) in values().into_iter().enumerate() {
            let ttl = if number % 2 == 0 { 60_000 } else { 0 };
            let plain = packages.seal(package, &value, &json!(PASSWORD), ttl);
            let by_id = json!({ "id": "key_1", "secret": PASSWORD });
            let by_id = packages.seal(package, &value, &by_id, ttl);
            for (keys, sealed) in [(&single, &plain), (&single, &by_id), (&named, &by_id)] {
                let text = iron::unseal(sealed, keys, now_unix_ms()).expect(package);
                let read: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(read, value, "{package}");
            }
        }
        let late = packages.seal(package, &json!(1), &json!(PASSWORD), -120_000);
        let error = iron::unseal(&late, &single, now_unix_ms()).expect_err("it has expired");
        assert!(matches!(error, IronError::Expired { .. }), "{error}");
        let plain = packages.seal(package, &json!(1), &json!(PASSWORD), 0);
        let error = iron::unseal(&plain, &named, now_unix_ms()).expect_err("it names no key");
        assert_eq!(error, IronError::UnknownKey);
    }
}

#[test]
fn an_event_reaches_its_reader_with_a_time() {
    let mut packages = Packages::start();
    let keys = IronKeys::single(PASSWORD).expect("a key");
    let data = r#"{ "update_type": "new_number", "number": {"value": 25} }"#;
    let sealed = iron::seal(&iron::payload(data, 1_700_000_000_000), &keys, &random(9), None)
        .expect("sealed");
    for package in PACKAGES {
        let read = packages.unseal(package, &sealed, &json!(PASSWORD)).expect(package);
        assert_eq!(read["number"]["value"], 25);
        assert_eq!(read["timestamp"], 1_700_000_000_000_u64);
    }
}
