//! Templates of paths: `/stream/{type}/{id}/live`.

use super::channel::check_name;
use super::http::{decode_percent, segments};

/// A path whose `{name}` parts take any one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Named(String),
}

/// What the named parts of a template have taken, in order.
pub type Taken = Vec<(String, String)>;

impl PathTemplate {
    /// Reads a template. What is not wholly `{name}` is literal.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let segment = |part: &str| {
            let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.map_or_else(
                || Segment::Literal(part.to_owned()),
                |name| Segment::Named(name.to_owned()),
            )
        };
        Self(segments(text).map(segment).collect())
    }

    /// What a request's path (still percent-encoded) gives to the named parts; none where it is
    /// another path, or a part could not stand in a channel's name.
    #[must_use]
    pub fn take(&self, path: &str) -> Option<Taken> {
        let mut taken = Vec::new();
        let mut given = segments(path);
        for segment in &self.0 {
            let part = given.next()?;
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Literal(_) => return None,
                Segment::Named(name) => {
                    let part = decode_percent(part).ok().filter(|part| check_name(part).is_ok())?;
                    taken.push((name.clone(), part.into_owned()));
                }
            }
        }
        given.next().is_none().then_some(taken)
    }
}

/// A text with each `{name}` replaced by what was taken for it.
#[must_use]
pub fn fill(text: &str, taken: &Taken) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        filled.push_str(before);
        let value = taken.iter().find(|(known, _)| known == name);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pairs: &[(&str, &str)]) -> Taken {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn named_parts_take_one_segment_each() {
        let template = PathTemplate::parse("/stream/rounds/{type}/{id}/{version}/live");
        let found = template.take("/stream/rounds/ROULETTE/12%333/v2/live");
        let all = taken(&[("type", "ROULETTE"), ("id", "1233"), ("version", "v2")]);
        assert_eq!(found, Some(all.clone()));
        assert_eq!(fill("{type}:{id}:{version}", &all), "ROULETTE:1233:v2");
        assert_eq!(fill("a{b}c{", &all), "ac{");
        for other in [
            "/stream/rounds/ROULETTE/123/v2",
            "/stream/rounds/ROULETTE/123/v2/live/",
            "/stream/rounds/ROULETTE/123/v2/dead",
            "/stream/rounds//123/v2/live",
            "/stream/rounds/*/123/v2/live",
            "/stream/rounds/a%2Cb/123/v2/live",
            "/stream/rounds/a%2Fb/123/v2/live",
            "/stream/rounds/a%zz/123/v2/live",
        ] {
            assert_eq!(template.take(other), None, "{other}");
        }
        assert_eq!(PathTemplate::parse("/api/sse").take("/api/sse"), Some(Vec::new()));
    }
}
