//! What the keys of a pool's cookie mean together.

use crate::{
    config::{
        file,
        model::{Cookie, SameSite, Secrets},
        read::Reader,
        shapes::is_token,
    },
    problem::{Code, Problem},
};
use std::path::Path;

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

/// What no cookie's name may have becomes a dash.
fn usual_name(pool: &str) -> String {
    let legal = |c: char| if u8::try_from(c).is_ok_and(is_token) { c } else { '-' };
    format!("pointsman-{}", pool.chars().map(legal).collect::<String>())
}
