use proptest::prelude::*;

use super::*;

const PASSWORD: &str = "some-password-of-32-characters-00";
const OTHER: &str = "another-password-of-32-characters";
const NOW: u64 = 1_700_000_000_000;
const JSON: &str =
    r#"{"update_type":"new_number","number":{"value":25,"color":"red"},"timestamp":1700000000000}"#;

/// Made once by npm @hapi/iron 7.0.1 with the salts and the vector of [`counting`].
const BY_HAPI: &str = "Fe26.2**000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f*\
    ICEiIyQlJicoKSorLC0uLw*Njuha_hctKVYy_dbiYzTNt6lpdC6r0FotCPvmcDIjh-kW7Ke68go7cCige9Ja4ACEB9a\
    OZnhq_7O0suqNbgK_5z_T0pMYsJBWXpMwiCr6AtNmO-bey1vWBH2DvOozJT2**303132333435363738393a3b3c3d3e\
    3f404142434445464748494a4b4c4d4e4f*M2n7nSXk5Q-lLCl-6yAXFCQKXMf9fAVkFszdbdhz1xY";
const BY_HAPI_K1_MAC: &str = "jscgd7jxPEBhCtpZBci4GEOiXBsehAGwHmewVNk6TDY";
const BY_HAPI_EXPIRING: &str = "Fe26.2**000102030405060708090a0b0c0d0e0f101112131415161718191a1b\
    1c1d1e1f*ICEiIyQlJicoKSorLC0uLw*IInd4PdT3zjpDjEzNzXcdA*1700000001000*30313233343536373839\
    3a3b3c3d3e3f404142434445464748494a4b4c4d4e4f*7HF-fn335S9V-_4MFHIoXXA4Ug6tUHo-TZN0WPHu9_Q";

/// 0, 1, 2, ...
fn counting() -> [u8; RANDOM_BYTES] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn keys() -> IronKeys {
    IronKeys::single(PASSWORD).unwrap()
}

#[test]
fn seals_as_hapi_iron_does() {
    assert_eq!(seal(JSON, &keys(), &counting(), None).unwrap(), BY_HAPI);
    let named = IronKeys::new([("k1", PASSWORD)]).unwrap();
    let sealed = seal(JSON, &named, &counting(), None).unwrap();
    assert!(sealed.starts_with("Fe26.2*k1*0001") && sealed.ends_with(BY_HAPI_K1_MAC), "{sealed}");
    let expiring = seal("\"Olá\"", &keys(), &counting(), Some(NOW + 1000)).unwrap();
    assert_eq!(expiring, BY_HAPI_EXPIRING);
}

#[test]
fn unseals_what_hapi_iron_sealed_until_it_expires() {
    assert_eq!(unseal(BY_HAPI, &keys(), u64::MAX).unwrap(), JSON);
    let last = NOW + 1000 + SKEW_MS - 1;
    for now in [0, NOW, last] {
        assert_eq!(unseal(BY_HAPI_EXPIRING, &keys(), now).unwrap(), "\"Olá\"");
    }
    let late = unseal(BY_HAPI_EXPIRING, &keys(), last + 1);
    assert_eq!(late, Err(IronError::Expired { ago_ms: SKEW_MS }));
}

/// RFC 6070, test vector 1 (20 bytes), by the same derivation: password, salt, one iteration.
#[test]
fn the_derivation_is_pbkdf2_sha1() {
    let key = derive("password", "salt");
    assert_eq!(hex(&key[..20]), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
}

#[test]
fn old_keys_unseal_while_the_new_one_seals() {
    let old = IronKeys::new([("k1", PASSWORD)]).unwrap();
    let both = IronKeys::new([("k2", OTHER), ("k1", PASSWORD)]).unwrap();
    let by_old = seal(JSON, &old, &counting(), None).unwrap();
    let by_new = seal(JSON, &both, &counting(), None).unwrap();
    assert!(by_new.starts_with("Fe26.2*k2*"));
    assert_eq!(unseal(&by_old, &both, NOW).unwrap(), JSON);
    assert_eq!(unseal(&by_new, &both, NOW).unwrap(), JSON);
    assert_eq!(unseal(&by_new, &old, NOW), Err(IronError::UnknownKey));
    let swapped = by_old.replacen("*k1*", "*k2*", 1);
    assert_eq!(unseal(&swapped, &both, NOW), Err(IronError::Mac));
    assert_eq!(seal(JSON, &IronKeys::none(), &counting(), None), Err(IronError::NoKeys));
    assert_eq!(unseal(BY_HAPI, &IronKeys::none(), NOW), Err(IronError::UnknownKey));
}

#[test]
fn other_forms_are_malformed() {
    let cut = BY_HAPI.rsplit_once('*').unwrap().0;
    for text in ["", "hello", cut, &format!("{BY_HAPI}*"), &BY_HAPI.replacen("Fe26.2", "Fe26.1", 1)]
    {
        assert_eq!(unseal(text, &keys(), NOW), Err(IronError::Malformed), "{text}");
    }
    let padded = format!("{BY_HAPI}=");
    assert_eq!(unseal(&padded, &keys(), NOW), Err(IronError::Malformed));
    assert_eq!(unseal(BY_HAPI, &IronKeys::single(OTHER).unwrap(), NOW), Err(IronError::Mac));
}

/// A true code over parts that cannot be opened: only somebody with the password makes these.
#[test]
fn true_codes_over_nonsense_are_malformed() {
    let sign = |signed: &str| {
        let mac = hmac::sign(&mac_key(PASSWORD, "5a17"), signed.as_bytes());
        format!("{signed}*5a17*{}", URL_SAFE_NO_PAD.encode(mac))
    };
    let iv = URL_SAFE_NO_PAD.encode([7; 16]);
    let block = URL_SAFE_NO_PAD.encode([7; 16]);
    for signed in [
        format!("Fe26.2**aa*{iv}**"),
        format!("Fe26.2**aa*{iv}*{}*", URL_SAFE_NO_PAD.encode([7; 15])),
        format!("Fe26.2**aa*{}*{block}*", URL_SAFE_NO_PAD.encode([7; 15])),
        format!("Fe26.2**aa*{iv}*{block}*12x"),
        format!("Fe26.2**aa*{iv}*{block}*99999999999999999999999"),
        format!("Fe26.2**aa*{iv}*{block}!*"),
    ] {
        assert_eq!(unseal(&sign(&signed), &keys(), NOW), Err(IronError::Malformed), "{signed}");
    }
}

#[test]
fn every_changed_byte_is_found() {
    for at in 0..BY_HAPI.len() {
        for byte in [b'A', b'0', b'*', b'-'] {
            let mut bytes = BY_HAPI.as_bytes().to_vec();
            if std::mem::replace(&mut bytes[at], byte) == byte {
                continue;
            }
            let text = String::from_utf8(bytes).unwrap();
            assert!(unseal(&text, &keys(), NOW).is_err(), "byte {at} as {}", char::from(byte));
        }
    }
}

fn random() -> impl Strategy<Value = [u8; RANDOM_BYTES]> {
    prop::collection::vec(any::<u8>(), RANDOM_BYTES).prop_map(|bytes| bytes.try_into().unwrap())
}

proptest! {
    #[test]
    fn what_is_sealed_unseals(
        text in ".*",
        random in random(),
        expires in prop::option::of(NOW..u64::MAX),
        id in "[A-Za-z0-9_]{0,8}",
    ) {
        let keys = IronKeys::new([(id, PASSWORD)]).unwrap();
        let sealed = seal(&text, &keys, &random, expires).unwrap();
        prop_assert!(sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b"*._-".contains(&b)));
        prop_assert_eq!(unseal(&sealed, &keys, NOW).unwrap(), text);
    }

    #[test]
    fn any_text_is_refused(text in "(Fe26\\.2)?[A-Za-z0-9*_-]{0,80}") {
        prop_assert!(unseal(&text, &keys(), NOW).is_err());
    }
}
