use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"correct horse battery staple 0123456789";
const EXPIRES: u64 = 1_800_000_000;
const NOW: u64 = EXPIRES - 1;

fn keys() -> Keys {
    Keys::single(SECRET).unwrap()
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn minted(granted: &str) -> String {
    mint(&selector(granted), EXPIRES, &keys()).unwrap()
}

/// Made once by Python's hmac and base64.
#[test]
fn vectors() {
    for (granted, expires, signature) in [
        ("orders.*", EXPIRES, "tro8w0.yQC_khx0NLyFtFetHWnguA"),
        ("a|b", 35, "z.VK21FmhKZqtnGkwLfmQg8g"),
    ] {
        assert_eq!(mint(&selector(granted), expires, &keys()).unwrap(), signature);
        let read = verify(granted, signature, &keys(), expires - 1).unwrap();
        assert_eq!(read.expires_unix_s, expires);
    }
}

#[test]
fn it_grants_what_was_signed_until_it_expires() {
    let granted = verify("orders.*", &minted("orders.*"), &keys(), NOW).unwrap();
    assert!(granted.channels.covers(&selector("orders.eu")));
    assert!(granted.channels.covers(&selector("orders.*")));
    for other in ["orders", "orders.eu.1", "news", "**", "user:42", "broadcast"] {
        assert!(!granted.channels.covers(&selector(other)), "{other}");
    }
    for (late, ago_s) in [(EXPIRES, 0), (EXPIRES + 60, 60)] {
        let error = verify("orders.*", &minted("orders.*"), &keys(), late).unwrap_err();
        assert_eq!(error, SignatureError::Expired { ago_s });
    }
    let all = verify("**", &minted("**"), &keys(), NOW).unwrap();
    assert!(!all.channels.covers(&selector("user:42")));
    let own = verify("user:42", &minted("user:42"), &keys(), NOW).unwrap();
    assert!(own.channels.covers(&selector("user:42")) && !own.channels.covers(&selector("user:4")));
}

#[test]
fn it_grants_nothing_else() {
    for other in ["orders.**", "orders.eu", "*", "**", "order.*", "orders.*|x"] {
        let error = verify(other, &minted("orders.*"), &keys(), NOW);
        assert!(error == Err(SignatureError::Signature) || error == Err(SignatureError::Granted));
    }
    // A `|` moves nothing from one part to the other.
    let odd = mint(&selector("a|b"), 35, &keys()).unwrap();
    assert_eq!(verify("a", &odd, &keys(), 0), Err(SignatureError::Signature));
    assert_eq!(verify("a b", &minted("a"), &keys(), NOW), Err(SignatureError::Granted));
    assert_eq!(verify("", &minted("a"), &keys(), NOW), Err(SignatureError::Granted));
}

#[test]
fn old_secrets_hold_until_they_are_dropped() {
    let both = Keys::new([(Some("new"), &[7; 32][..]), (Some("old"), SECRET)]).unwrap();
    assert!(verify("news", &minted("news"), &both, NOW).is_ok());
    let by_new = mint(&selector("news"), EXPIRES, &both).unwrap();
    assert!(verify("news", &by_new, &both, NOW).is_ok());
    assert_eq!(verify("news", &by_new, &keys(), NOW), Err(SignatureError::Signature));
    assert_eq!(verify("news", &by_new, &Keys::none(), NOW), Err(SignatureError::NoKeys));
    assert_eq!(mint(&selector("news"), EXPIRES, &Keys::none()), Err(SignatureError::NoKeys));
}

/// Every byte of the signature and of the name, changed to every other.
#[test]
fn every_changed_byte_is_found() {
    let signature = minted("orders");
    for at in 0..signature.len() {
        for byte in (0..=0x7f).filter(|byte| *byte != signature.as_bytes()[at]) {
            let mut changed = signature.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let error = verify("orders", &changed, &keys(), 0).unwrap_err();
            let known = [SignatureError::Signature, SignatureError::Malformed];
            assert!(known.contains(&error), "{changed}: {error}");
        }
    }
    for at in 0.."orders".len() {
        for byte in (0..=0x7f).filter(|byte| *byte != b"orders"[at]) {
            let mut changed = b"orders".to_vec();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            assert!(verify(&changed, &signature, &keys(), 0).is_err(), "{changed}");
        }
    }
}

#[test]
fn other_spellings_are_malformed() {
    let good = minted("a");
    let (expiry, mac) = good.split_once('.').unwrap();
    for text in [
        "",
        ".",
        expiry,
        mac,
        &format!(".{mac}"),
        &format!("{expiry}."),
        &format!("0{expiry}.{mac}"),
        &format!("+{expiry}.{mac}"),
        &format!("{}.{mac}", expiry.to_uppercase()),
        &format!("3w5e11264sgsg.{mac}"),
        &format!("00000000000000.{mac}"),
        &format!("{good}="),
        &format!("{good}A"),
        &format!("{good}.{mac}"),
        &good[..good.len() - 1],
    ] {
        assert_eq!(verify("a", text, &keys(), NOW), Err(SignatureError::Malformed), "{text}");
    }
}

proptest! {
    #[test]
    fn numbers_in_base_36(number in any::<u64>()) {
        let text = write_base36(number);
        prop_assert_eq!(read_base36(&text), Some(number));
        // Against a sum of powers.
        let digit = |b: u8| DIGITS.iter().position(|known| *known == b).unwrap() as u128;
        let sum = text.bytes().fold(0_u128, |sum, b| sum * 36 + digit(b));
        prop_assert_eq!(sum, u128::from(number));
    }

    #[test]
    fn what_is_minted_is_granted(
        granted in "[a-z|:é]{1,9}(\\.\\*)?",
        expires in 1..u64::MAX,
        secret in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let keys = Keys::single(&secret).unwrap();
        let signature = mint(&selector(&granted), expires, &keys).unwrap();
        let unreserved = signature.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        prop_assert!(unreserved, "{} needs escapes in a query", signature);
        let read = verify(&granted, &signature, &keys, expires - 1).unwrap();
        prop_assert!(read.channels.covers(&selector(&granted)));
        prop_assert!(verify(&granted, &signature, &keys, expires).is_err());
    }

    #[test]
    fn any_text_is_refused(granted in ".{0,9}", signature in ".{0,40}|[0-9a-z]{1,13}\\.[A-Za-z0-9_-]{22}") {
        prop_assert!(verify(&granted, &signature, &keys(), 0).is_err());
    }
}
