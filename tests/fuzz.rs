//! The fuzz targets for a while, from seeds, with a fixed sequence of changes. `cargo fuzz` goes
//! on from here.

#[allow(unreachable_pub, reason = "a library of its own in fuzz/")]
#[path = "../fuzz/src/lib.rs"]
mod entries;

/// Changed inputs per target.
const ROUNDS: u32 = 200_000;

fn run(entry: fn(&[u8]), seeds: &[&[u8]]) {
    let mut rng = fastrand::Rng::with_seed(1);
    for seed in seeds {
        entry(seed);
    }
    for _ in 0..ROUNDS {
        let mut bytes = seeds[rng.usize(0..seeds.len())].to_vec();
        for _ in 0..rng.usize(1..=4) {
            change(&mut bytes, seeds, &mut rng);
        }
        entry(&bytes);
    }
}

/// One change: a flipped, added, doubled, cut or foreign part.
fn change(bytes: &mut Vec<u8>, seeds: &[&[u8]], rng: &mut fastrand::Rng) {
    const TELLING: &[u8] = b"\r\n\0 :,;=%&?/*\"\\{}[]\x7f\xff\xc3+-.0aZ";
    let at = rng.usize(0..=bytes.len());
    match rng.u8(0..6) {
        0 => bytes.insert(at, TELLING[rng.usize(0..TELLING.len())]),
        1 if at < bytes.len() => bytes[at] = TELLING[rng.usize(0..TELLING.len())],
        2 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(0..8),
        3 => bytes.truncate(at),
        4 if at < bytes.len() => {
            let end = rng.usize(at..bytes.len());
            let part = bytes[at..=end].to_vec();
            bytes.splice(at..at, part);
        }
        _ => {
            let other = seeds[rng.usize(0..seeds.len())];
            let from = rng.usize(0..=other.len());
            bytes.splice(at.., other[from..].iter().copied());
        }
    }
    bytes.truncate(1 << 14);
}

#[test]
fn heads() {
    run(
        entries::head,
        &[
            b"GET /sse/a,b?last=3 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n",
            b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nCookie: a=b; c=d\r\n\r\n",
            b"GET / HTTP/1.0\r\nAuthorization: Bearer abc\r\nConnection: keep-alive\r\n\r\n",
        ],
    );
}

#[test]
fn bodies() {
    run(
        entries::body,
        &[b"5\r\nhello\r\n0\r\n\r\n", b"1;a=b\r\nx\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n"],
    );
}

#[test]
fn targets() {
    run(
        entries::target,
        &[b"/sse/a,b.*,c.**?channel=x&last=3", b"/%F0%9F%8E%89%2C?since=10m&events=a,b&control=on"],
    );
}

#[test]
fn tokens() {
    run(
        entries::token,
        &[
            b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2ln",
            b"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        ],
    );
}

#[test]
fn resumed_ids() {
    run(entries::resume, &[b"abcdefgh-1", b"00000000-18446744073709551615", b"abcdefgh-1.end"]);
}

#[test]
fn publishes() {
    run(
        entries::publish,
        &[
            br#"{"channel":"a","data":"x\r\ny","event":"e","ttl_ms":1,"key":"k"}"#,
            br#"[{"channels":["a","b"],"data":{"z":[1,2.50]}},{"user":"1","data":null}]"#,
            br#"{"broadcast":true,"data":"","store":false,"idempotency_key":"i","retry":5}"#,
        ],
    );
}
