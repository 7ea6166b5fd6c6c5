//! What a token costs at connect: a full check, a hit in the cache, the fixed publisher token.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use ringcast::auth::{
    Algorithm, Identity, Keys, PublisherToken, Rules, VerifiedCache, jwt, sign, sign::TokenRequest,
};

const NOW: u64 = 1_800_000_000;

fn token_verify(c: &mut Criterion) {
    let keys = Keys::single(&[7; 64]).expect("64 bytes are a key");
    let rules = Rules::default();
    let request = TokenRequest {
        sub: Some("42".into()),
        tenant: Some("t1".into()),
        channels: Some(vec!["news".into(), "sports.*".into()]),
        ttl_s: Some(3600),
        ..TokenRequest::default()
    };
    let claims = request.claims(&rules, NOW).expect("sound claims");
    let mut group = c.benchmark_group("token_verify");
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let token = sign::sign(&claims, &keys, algorithm).expect("a short token");
        group.bench_function(algorithm.as_str(), |b| {
            b.iter(|| jwt::verify(black_box(&token), &keys, &rules, NOW).map(Identity::from));
        });
    }
    let token = sign::sign(&claims, &keys, Algorithm::Hs256).expect("a short token");
    let identity = jwt::verify(&token, &keys, &rules, NOW).map(Identity::from).expect("good");
    let mut cache = VerifiedCache::new(1024);
    cache.put(token.as_bytes(), Arc::new(identity), 1);
    group.bench_function("cache hit", |b| {
        b.iter(|| cache.get(black_box(token.as_bytes()), NOW, 1));
    });
    let publisher = PublisherToken::new(b"a token of thirty-two bytes, yes").expect("a token");
    group.bench_function("publisher token", |b| {
        b.iter(|| publisher.matches(black_box(b"a token of thirty-two bytes, no!")));
    });
    group.finish();
}

criterion_group!(benches, token_verify);
criterion_main!(benches);
