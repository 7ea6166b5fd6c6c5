use super::*;

#[test]
fn a_later_layer_counts_and_a_bad_value_changes_nothing() {
    let (mut values, _) = Values::defaults();
    assert!(values.apply(Layer::file("a", "workers = 2\n")).is_empty());
    let findings = values.apply(Layer::file("b", "refuse = 'x'\nworkers = 0\n"));
    assert_eq!(findings.len(), 2);
    assert_eq!(values.get("workers"), Some(&Value::Number(2)));
    assert_eq!(values.origin("workers").to_string(), "a:1");
}

#[test]
fn rows_of_layers_are_merged_by_column() {
    let (mut values, _) = Values::defaults();
    let _ = values.apply(Layer::file("a", "[namespaces.x]\nhistory_events = 1\nmode = 'latest'\n"));
    let _ = values.apply(Layer::file("b", "[namespaces.x]\nhistory_events = 2\n"));
    let items = values.items();
    let of =
        |name: &str| items.iter().find(|item| item.name == name).map(|item| &item.effective.value);
    assert_eq!(of("namespaces.x.history_events"), Some(&Value::Number(2)));
    assert_eq!(of("namespaces.x.mode"), Some(&Value::Text("latest".into())));
}
