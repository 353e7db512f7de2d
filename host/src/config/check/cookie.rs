//! What the keys of a pool's cookie mean together.

use crate::{
    config::{
        file,
        model::{Cookie, SameSite, Secrets},
        read::Reader,
        shapes::{COOKIE_NAME_MOST, is_token},
    },
    problem::{Code, Problem},
};
use std::path::Path;
use xxhash_rust::xxh64::xxh64;

/// The cookie of the pool of this name.
pub(super) fn cookie(pool: &str, written: file::Cookie, base: &Path, reader: &mut Reader) -> Cookie {
    let default = Cookie::new(usual_name(pool));
    if let (Some(same_site), Some(secure)) = (&written.same_site, &written.secure)
        && (same_site.it, secure.it) == (SameSite::None, false)
    {
        let problem =
            Problem::error(Code::BAD_VALUE, "browsers refuse a cookie with `same_site` \"none\" that is not `secure`");
        reader.tell(problem.at(reader.spot(&secure.span), "expected true, or nothing"));
    }
    let same_site = written.same_site.map_or(default.same_site, |at| at.it);
    Cookie {
        name: written.name.map_or(default.name, |at| at.it.0),
        path: written.path.map_or(default.path, |at| at.it.0),
        same_site,
        secure: written.secure.map(|at| at.it).or((same_site == SameSite::None).then_some(true)),
        ttl: written.ttl.and_then(|at| at.it.0),
        secrets: match (written.secret, written.secret_file) {
            (Some(_), Some(file)) => {
                let problem = Problem::error(Code::BAD_VALUE, "a cookie has `secret` or `secret_file`, not both");
                reader.tell(problem.at(reader.spot(&file.span), "expected one of them"));
                Secrets::Chance
            }
            (Some(secrets), None) => Secrets::Written(secrets.it.0),
            (None, Some(file)) => Secrets::File { path: base.join(file.it.0), spot: Some(reader.spot(&file.span)) },
            (None, None) => Secrets::Chance,
        },
    }
}

/// The pool's. What no cookie's name may have becomes a dash, and what is too long is cut; a number of the whole name keeps it
/// apart from others that look the same then.
fn usual_name(pool: &str) -> String {
    let legal = |c: char| u8::try_from(c).is_ok_and(is_token);
    let usual = format!("pointsman-{pool}");
    if usual.len() <= COOKIE_NAME_MOST && usual.chars().all(legal) {
        return usual;
    }
    let number = format!("-{:016x}", xxh64(pool.as_bytes(), 0));
    let kept = usual.chars().map(|c| if legal(c) { c } else { '-' }).take(COOKIE_NAME_MOST - number.len());
    kept.collect::<String>() + &number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_have_cookies_of_their_own_whatever_they_are_called() {
        assert_eq!(usual_name("a-b"), "pointsman-a-b");
        let names = ["a b", "a\tb", "ä", &"x".repeat(60), &format!("{}y", "x".repeat(60))].map(usual_name);
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= COOKIE_NAME_MOST && name.bytes().all(is_token), "{name}");
            assert!(name.starts_with("pointsman-") && !names[..index].contains(name), "{name}");
        }
    }
}
