use std::collections::BTreeMap;

use super::*;

fn text(kind: &Kind, text: &str) -> Result<Value, String> {
    kind.read(&Node::plain(text)).map_err(|mut wrong| wrong.remove(0).problem)
}

fn toml(kind: &Kind, text: &str) -> Result<Value, String> {
    let node = crate::config::layers::document::value(text).expect("TOML");
    kind.read(&node).map_err(|mut wrong| wrong.remove(0).problem)
}

#[test]
fn a_variable_has_only_text_and_a_file_has_types() {
    assert_eq!(text(&Kind::Switch, "true"), Ok(Value::Switch(true)));
    assert_eq!(toml(&Kind::Switch, "true"), Ok(Value::Switch(true)));
    assert!(toml(&Kind::Switch, "'true'").is_err());
    assert!(text(&Kind::Switch, "yes").is_err());
    let number = Kind::Number(1, 10);
    assert_eq!(text(&number, " 7 "), Ok(Value::Number(7)));
    assert_eq!(toml(&number, "0x7"), Ok(Value::Number(7)));
    for bad in ["'7'", "7.0", "-7", "[7]", "2020-01-01", "0", "11", "true"] {
        assert!(toml(&number, bad).is_err(), "{bad}");
    }
}

#[test]
fn amounts_with_and_without_units() {
    let (ms, s, bytes) =
        (Kind::Millis(0, 1 << 40), Kind::Seconds(1, 1 << 40), Kind::Bytes(0, 1 << 40));
    for (kind, written, amount) in [
        (ms, "'10m'", 600_000),
        (ms, "250", 250),
        (ms, "'250'", 250),
        (s, "'12h'", 43_200),
        (s, "90", 90),
        (bytes, "'64KiB'", 65_536),
        (bytes, "65536", 65_536),
    ] {
        assert_eq!(toml(&kind, written), Ok(Value::Number(amount)), "{written}");
    }
    assert!(toml(&ms, "'10 minutes and a bit'").is_err());
    assert!(toml(&bytes, "'64 apples'").is_err());
}

#[test]
fn lists_and_tables_in_one_text() {
    let list = Kind::List(Form::Name);
    let both = Ok(Value::List(vec!["a".into(), "b".into()]));
    assert_eq!(text(&list, "a, b,"), both);
    assert_eq!(text(&list, "['a', 'b']"), both);
    assert_eq!(toml(&list, "['a', 'b']"), both);
    assert_eq!(text(&list, ""), Ok(Value::List(Vec::new())));
    let map = Kind::Map(&Kind::Millis(1, 10_000));
    let one = Ok(Value::Map(BTreeMap::from([("a:b".to_owned(), Value::Number(1_000))])));
    assert_eq!(text(&map, "a:b=1s"), one);
    assert_eq!(text(&map, "{'a:b' = 1000}"), one);
    assert_eq!(toml(&map, "{'a:b' = '1s'}"), one);
    assert_eq!(text(&map, "a:b"), Err("a value of another type".into()));
    assert_eq!(text(&map, "a=0"), Err("a: too small".into()));
}

#[test]
fn the_word_for_none() {
    let kind = Kind::Or("off", &Kind::Number(0, 10));
    assert_eq!(text(&kind, "off"), Ok(Value::Unset));
    assert_eq!(toml(&kind, "'off'"), Ok(Value::Unset));
    assert_eq!(toml(&kind, "0"), Ok(Value::Number(0)));
    let wrong = kind.read(&Node::plain("none")).unwrap_err();
    assert_eq!(wrong[0].cure, "write a whole number from 0 to 10, or \"off\"");
}

#[test]
fn what_is_shown_is_read_again() {
    for (kind, written) in [
        (Kind::Switch, "true"),
        (Kind::Millis(0, 1 << 40), "1500"),
        (Kind::Text(Form::Any), "\"a \\\"b\\\" \\\\ é\""),
        (Kind::List(Form::Any), "[\"a\", \"b\"]"),
        (Kind::Map(&Kind::Number(0, 9)), "{ \"a:b\" = 1, c = 2 }"),
        (Kind::Or("off", &Kind::Number(0, 9)), "\"off\""),
    ] {
        let value = toml(&kind, written).unwrap();
        assert_eq!(kind.show(&value), written);
        assert_eq!(toml(&kind, &kind.show_human(&value)), Ok(value));
    }
    assert_eq!(Kind::Secret(0).show(&Value::Secret(Secret::new("x"))), "\"***\"");
}
