//! Header lines in the order they came. A message has a few of them: looking at each costs less than hashing all, and
//! none changes its place because another one goes.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header lines of one message. How many there are is bounded by whoever reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    lines: Vec<(HeaderName, HeaderValue)>,
}

impl Headers {
    /// None yet, with room for so many.
    pub fn with_capacity(lines: usize) -> Headers {
        Headers { lines: Vec::with_capacity(lines) }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All lines in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&HeaderName, &HeaderValue)> {
        self.lines.iter().map(|(name, value)| (name, value))
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.lines.iter().any(|(n, _)| n == name)
    }

    /// The first value of this name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.lines.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The first value of this name, whatever the case it is spelt in.
    pub fn named(&self, name: &str) -> Option<&HeaderValue> {
        self.lines.iter().find(|(n, _)| n.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All values of this name, in order.
    pub fn all<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a HeaderValue> {
        self.lines.iter().filter(move |(n, _)| n == name).map(|(_, value)| value)
    }

    /// Adds a line behind all others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.lines.push((name, value));
    }

    /// Makes this the one line of this name: in the place of the first that there is, else behind all others.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        let Some(first) = self.lines.iter().position(|(n, _)| *n == name) else { return self.append(name, value) };
        let mut at = 0;
        self.lines.retain(|(n, _)| {
            at += 1;
            at - 1 <= first || *n != name
        });
        self.lines[first].1 = value;
    }

    /// Removes all lines of this name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.retain(|n| n != name);
    }

    /// Removes all lines but those of such names.
    pub fn retain(&mut self, mut stays: impl FnMut(&HeaderName) -> bool) {
        self.lines.retain(|(name, _)| stays(name));
    }
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Headers {
        let mut headers = Headers::with_capacity(map.len());
        let mut last = None;
        for (name, value) in map {
            // A map tells the name with the first of its values only.
            if let Some(name) = name.or(last.take()) {
                last = Some(name.clone());
                headers.append(name, value);
            }
        }
        headers
    }
}

impl From<Headers> for HeaderMap {
    fn from(headers: Headers) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers.lines {
            map.append(name, value);
        }
        map
    }
}

impl IntoIterator for Headers {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.lines.into_iter()
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Headers {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: I) -> Headers {
        Headers { lines: lines.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, COOKIE, VIA};

    fn headers(lines: &[(HeaderName, &'static str)]) -> Headers {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_one_line_takes_the_place_of_the_first() {
        let mut lines = headers(&[(ACCEPT, "a"), (VIA, "1"), (COOKIE, "c"), (VIA, "2")]);
        lines.set(VIA, HeaderValue::from_static("3"));
        assert_eq!(lines, headers(&[(ACCEPT, "a"), (VIA, "3"), (COOKIE, "c")]));
        lines.remove(&ACCEPT);
        lines.set(ACCEPT, HeaderValue::from_static("b"));
        assert_eq!(lines, headers(&[(VIA, "3"), (COOKIE, "c"), (ACCEPT, "b")]));
    }

    #[test]
    fn all_values_are_told_in_order() {
        let lines = headers(&[(VIA, "1"), (ACCEPT, "a"), (VIA, "2")]);
        assert_eq!(lines.all(&VIA).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(lines.get(&VIA).unwrap(), "1");
        assert_eq!(lines.named("Accept").unwrap(), "a");
        assert!(lines.contains(&ACCEPT) && !lines.contains(&COOKIE));
    }

    #[test]
    fn a_map_and_back() {
        let lines = headers(&[(VIA, "1"), (VIA, "2"), (ACCEPT, "a")]);
        assert_eq!(Headers::from(HeaderMap::from(lines.clone())), lines);
    }
}
