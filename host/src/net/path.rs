//! The one form of a path (RFC 3986 §6.2.2). Routes, filters, balancers and the backend all see this form, so none of
//! them can be talked into another opinion on what is asked for: `/a/../admin`, `//admin` and `/%61dmin` are `/admin`.

use std::borrow::Cow;

/// Why a path has no such form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum PathError {
    /// More `..` than segments before them.
    AboveRoot,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// NUL or `%00`: many a backend would see the path end there.
    Nul,
}

impl PathError {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            PathError::AboveRoot => "the path climbs above its root",
            PathError::Escape => "the path holds a malformed percent-encoding",
            PathError::Nul => "the path holds a NUL",
        }
    }
}

/// The path in its one form: unreserved characters decoded, all that no path may hold encoded, hexadecimal digits in
/// upper case, no empty and no dot segments. An encoded slash stays encoded: it belongs to its segment. A path that is in
/// this form already is given back without a copy.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, PathError> {
    if is_normal(path.as_bytes()) { Ok(Cow::Borrowed(path)) } else { rewrite(path.as_bytes()).map(Cow::Owned) }
}

fn is_normal(path: &[u8]) -> bool {
    let Some(path) = path.strip_prefix(b"/") else { return false };
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if (segment.is_empty() && !is_last) || matches!(segment, b"." | b"..") || !is_normal_segment(segment) {
            return false;
        }
    }
    true
}

fn is_normal_segment(segment: &[u8]) -> bool {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        let fine = match byte {
            b'%' => match (bytes.next(), bytes.next()) {
                (Some(&high), Some(&low)) => is_normal_escape(high, low),
                _ => false,
            },
            _ => IN_PATH[byte as usize],
        };
        if !fine {
            return false;
        }
    }
    true
}

fn is_normal_escape(high: u8, low: u8) -> bool {
    let upper = |digit: u8| !digit.is_ascii_lowercase();
    matches!(decoded(high, low), Some(byte) if byte != 0 && upper(high) && upper(low) && !is_unreserved(byte))
}

fn rewrite(path: &[u8]) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len() + 1);
    let mut ends_in_slash = true;
    for segment in path.split(|&byte| byte == b'/') {
        ends_in_slash = true;
        if segment.is_empty() {
            continue;
        }
        let start = out.len();
        out.push('/');
        rewrite_segment(segment, &mut out)?;
        match &out[start + 1..] {
            "." => out.truncate(start),
            ".." => {
                let parent = out[..start].rfind('/').ok_or(PathError::AboveRoot)?;
                out.truncate(parent);
            }
            _ => ends_in_slash = false,
        }
    }
    if ends_in_slash {
        out.push('/');
    }
    Ok(out)
}

fn rewrite_segment(segment: &[u8], out: &mut String) -> Result<(), PathError> {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            let (Some(&high), Some(&low)) = (bytes.next(), bytes.next()) else { return Err(PathError::Escape) };
            match decoded(high, low).ok_or(PathError::Escape)? {
                0 => return Err(PathError::Nul),
                byte if is_unreserved(byte) => out.push(char::from(byte)),
                byte => push_escape(byte, out),
            }
        } else if byte == 0 {
            return Err(PathError::Nul);
        } else if IN_PATH[byte as usize] {
            out.push(char::from(byte));
        } else {
            push_escape(byte, out);
        }
    }
    Ok(())
}

fn push_escape(byte: u8, out: &mut String) {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

fn decoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What a segment may hold as it stands: `pchar` without `%`.
const IN_PATH: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let sub_delimiter =
            matches!(byte as u8, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        table[byte] = is_unreserved(byte as u8) || sub_delimiter || matches!(byte as u8, b':' | b'@');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn many_spellings_one_path() {
        for (written, seen) in [
            ("/", "/"),
            ("", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a/../admin", "/admin"),
            ("//admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/a/%2e%2E/admin", "/admin"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a//../b", "/b"),
            ("/a///", "/a/"),
            ("/...", "/..."),
            ("/.a/b.", "/.a/b."),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/..%2Fadmin", "/..%2Fadmin"),
            ("/%7Ehome", "/~home"),
            ("/100%25", "/100%25"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/a\\b", "/a%5Cb"),
            ("/é", "/%C3%A9"),
            ("/a;v=1/b:c@d", "/a;v=1/b:c@d"),
        ] {
            assert_eq!(normalize(written).as_deref(), Ok(seen), "{written}");
        }
    }

    #[test]
    fn what_has_no_one_form_is_refused() {
        for (written, why) in [
            ("/..", PathError::AboveRoot),
            ("/%2e%2e/admin", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/a%", PathError::Escape),
            ("/a%4", PathError::Escape),
            ("/a%4/b", PathError::Escape),
            ("/%zz", PathError::Escape),
            ("/%+1", PathError::Escape),
            ("/a%00b", PathError::Nul),
            ("/a\0b", PathError::Nul),
        ] {
            assert_eq!(normalize(written), Err(why), "{written}");
        }
    }

    #[test]
    fn a_normal_path_is_not_copied() {
        for path in ["/", "/a/b.html", "/a%2Fb/", "/.well-known/x"] {
            assert!(matches!(normalize(path), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_stable_and_free_of_tricks(path in "/[a-c./%2eEfF5~é\\\\]{0,24}") {
            if let Ok(once) = normalize(&path) {
                prop_assert!(once.starts_with('/') && !once.contains("//") && once.is_ascii());
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(matches!(normalize(&once), Ok(Cow::Borrowed(_))), "{} is not stable", once);
            }
        }
    }
}
