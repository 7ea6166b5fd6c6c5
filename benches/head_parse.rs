//! Heads of requests: this parser beside httparse, on what curl and a browser send.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringcast::proto::http::{HeadLimits, Parsed, Scan, parse_head};

const CURL: &[u8] = b"GET /sse/news HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.14\r\n\
    Accept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /sse/news,chat?token=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.abc \
    HTTP/1.1\r\nHost: live.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) \
    Gecko/20100101 Firefox/140.0\r\nAccept: text/event-stream\r\nAccept-Language: de,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://app.example.org/\r\n\
    Origin: https://app.example.org\r\nConnection: keep-alive\r\nSec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-site\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nLast-Event-ID: abcdefgh-123456\r\n\r\n";
const PUBLISH: &[u8] = b"POST /publish/news HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    Authorization: Bearer publish-token\r\nContent-Length: 128\r\n\r\n";

fn head_parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("head_parse");
    for (name, head) in [("curl", CURL), ("browser", BROWSER), ("publish", PUBLISH)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(format!("{name}/ringcast"), |b| {
            let limits = HeadLimits::default();
            b.iter(|| {
                let parsed = parse_head(black_box(head), &mut Scan::default(), &limits);
                assert!(matches!(parsed, Parsed::Complete { .. }));
            });
        });
        group.bench_function(format!("{name}/httparse"), |b| {
            b.iter(|| {
                let mut fields = [httparse::EMPTY_HEADER; 100];
                let mut request = httparse::Request::new(&mut fields);
                assert!(request.parse(black_box(head)).is_ok_and(|status| status.is_complete()));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, head_parse);
criterion_main!(benches);
