//! TOML to nodes.

use toml::de::{DeTable, DeValue};

use super::node::{Data, Node, shorten};

/// Entries of a table.
pub(crate) type Entries = Vec<(String, Node)>;

/// A whole document: its entries, and every place that is no TOML with its line.
pub(crate) fn parse(text: &str) -> (Entries, Vec<(usize, String)>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let reader = Reader::new(text);
    let errors = errors.iter().map(|error| {
        let line = error.span().map_or(0, |span| reader.line(span.start));
        (line, error.message().replace(['\n', '\r'], " "))
    });
    let errors: Vec<_> = errors.collect();
    (reader.table(table.get_ref()), errors)
}

/// The value in a text that holds nothing else.
pub(crate) fn value(text: &str) -> Option<Node> {
    let text = format!("x = {text}");
    let table = DeTable::parse(&text).ok()?;
    let mut entries = Reader::new(&text).table(table.get_ref());
    let (_, mut node) = entries.pop().filter(|_| entries.is_empty())?;
    forget_lines(&mut node);
    Some(node)
}

/// The lines of a text that is no file say nothing.
pub(crate) fn forget_lines(node: &mut Node) {
    node.line = 0;
    match &mut node.data {
        Data::List(nodes) => nodes.iter_mut().for_each(forget_lines),
        Data::Table(entries) => entries.iter_mut().for_each(|(_, node)| forget_lines(node)),
        _ => {}
    }
}

struct Reader<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(ends).collect() }
    }

    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at)
    }

    fn table(&self, table: &DeTable<'_>) -> Entries {
        let entries = table.iter().map(|(name, value)| {
            let mut node = self.node(value);
            node.line = self.line(name.span().start);
            (name.get_ref().to_string(), node)
        });
        entries.collect()
    }

    fn node(&self, value: &toml::Spanned<DeValue<'_>>) -> Node {
        let span = value.span();
        let line = self.line(span.start);
        let shown = shorten(self.text.get(span).unwrap_or_default());
        let data = match value.get_ref() {
            DeValue::Boolean(on) => Data::Switch(*on),
            DeValue::String(text) => Data::Text(text.to_string()),
            DeValue::Integer(number) => {
                let whole = i128::from_str_radix(number.as_str(), number.radix());
                Data::Number(whole.map_or_else(|_| number.as_str().to_owned(), |n| n.to_string()))
            }
            DeValue::Float(number) => Data::Number(number.as_str().to_owned()),
            DeValue::Array(nodes) => Data::List(nodes.iter().map(|one| self.node(one)).collect()),
            DeValue::Table(table) => Data::Table(self.table(table)),
            DeValue::Datetime(_) => Data::Other,
        };
        Node { line, shown, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines() {
        let (entries, errors) = parse("a = 1\n[b]\nc = [\n 'x',\n 0x10]\n");
        assert!(errors.is_empty());
        assert_eq!((&*entries[0].0, entries[0].1.line), ("a", 1));
        let Data::Table(inner) = &entries[1].1.data else { panic!("a table") };
        assert_eq!(inner[0].1.line, 3);
        let Data::List(list) = &inner[0].1.data else { panic!("a list") };
        assert_eq!((list[0].line, list[1].line), (4, 5));
        assert_eq!(list[1].data, Data::Number("16".into()));
    }

    #[test]
    fn every_syntax_error_is_found() {
        let (_, errors) = parse("a = \nb = 1\nc = 'x\n");
        assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn inline_values() {
        assert!(matches!(value("[1, 2]").map(|node| node.data), Some(Data::List(_))));
        assert!(value("[::1]:8080").is_none());
        assert!(value("1\ny = 2").is_none());
    }
}
