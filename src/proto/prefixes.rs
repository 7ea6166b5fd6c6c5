//! Options of channels by the literal beginning of their name.

/// A value for each prefix; the longest one that a name begins with counts.
#[derive(Debug, Clone)]
pub struct ByPrefix<T> {
    /// Longest prefix first; the last one is empty.
    all: Vec<(Box<str>, T)>,
}

impl<T> ByPrefix<T> {
    /// Puts them in order; `rest` is for names that none of them fits, unless one has an empty
    /// prefix.
    #[must_use]
    pub fn new<P: Into<Box<str>>>(all: impl IntoIterator<Item = (P, T)>, rest: T) -> Self {
        let all = all.into_iter().map(|(prefix, value)| (prefix.into(), value));
        let mut all: Vec<(Box<str>, T)> = all.collect();
        if !all.iter().any(|(prefix, _)| prefix.is_empty()) {
            all.push((Box::default(), rest));
        }
        all.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { all }
    }

    /// The place of a name's value.
    #[must_use]
    pub fn index_of(&self, name: &str) -> usize {
        let found = self.all.iter().position(|(prefix, _)| name.starts_with(&**prefix));
        found.unwrap_or(self.all.len() - 1)
    }

    /// The value at a place.
    #[must_use]
    pub fn get(&self, index: usize) -> &T {
        &self.all[index.min(self.all.len() - 1)].1
    }

    /// The value of a name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> &T {
        self.get(self.index_of(name))
    }

    /// The values of all names that begin with `literal`.
    pub fn overlapping<'s>(&'s self, literal: &'s str) -> impl Iterator<Item = &'s T> {
        let inside = self
            .all
            .iter()
            .filter(move |(prefix, _)| prefix.len() > literal.len() && prefix.starts_with(literal));
        std::iter::once(self.lookup(literal)).chain(inside.map(|(_, value)| value))
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.all.iter().map(|(_, value)| value)
    }
}

impl<T: Default> Default for ByPrefix<T> {
    fn default() -> Self {
        Self { all: vec![(Box::default(), T::default())] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let all = ByPrefix::new([("a", 1), ("a:b", 2), ("user:", 3)], 0);
        for (channel, value) in [("a:b:c", 2), ("a:c", 1), ("user:1", 3), ("x", 0), ("", 0)] {
            assert_eq!(*all.lookup(channel), value, "{channel}");
        }
        let found = |literal| all.overlapping(literal).copied().collect::<Vec<i32>>();
        assert_eq!((found("a"), found("a:b"), found("us")), (vec![1, 2], vec![2], vec![0, 3]));
        assert_eq!(*ByPrefix::new([("", 7)], 0).lookup("x"), 7);
    }
}
