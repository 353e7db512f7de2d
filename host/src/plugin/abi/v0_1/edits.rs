//! What a filter does to the request at hand. It works on the head in place; should the filter fault after all, the head
//! becomes what it was before.

use super::bindings::pointsman::plugin::edits;
use crate::{
    net::{Head, Headers, path::normalize},
    plugin::{Call, sandbox::Data},
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery},
};
use wasmtime::{Result, bail, format_err};

/// How much one filter may add to one request, in bytes: headers, tags, path and authority together.
const ADDED_MAX: usize = 64 << 10;
/// What each header, tag or path costs of that beside its text.
const ADDED_EACH: usize = 32;
/// How many tags a request may have.
const TAGS_MAX: usize = 64;
/// How long a tag may be, in bytes, name and value each.
const TAG_MAX: usize = 4 << 10;
/// How large the body of an answer may be.
const BODY_MAX: usize = 64 << 10;

/// One filter's edits of one request.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    before: Option<Box<Before>>,
    added: usize,
    response: Option<Response<Bytes>>,
}

/// The parts of a head that can be edited.
#[derive(Debug)]
struct Before {
    target: PathAndQuery,
    authority: HeaderValue,
    headers: Headers,
    tags: Vec<(Box<str>, Box<str>)>,
}

impl Edits {
    /// The answer the filter gave, if it did.
    pub(crate) fn response(&mut self) -> Option<Response<Bytes>> {
        self.response.take()
    }

    /// Makes the head what it was before the first edit.
    pub(crate) fn undo(&mut self, head: &mut Head) {
        if let Some(before) = self.before.take() {
            let Before { target, authority, headers, tags } = *before;
            (head.target, head.authority, head.headers, head.tags) = (target, authority, headers, tags);
        }
    }
}

impl edits::Host for Data {
    fn set_header(&mut self, name: String, value: Vec<u8>) -> Result<()> {
        let (name, value) = legal(&name, &value)?;
        let head = self.edit("set-header", name.as_str().len() + value.len())?;
        head.headers.set(name, value);
        Ok(())
    }

    fn append_header(&mut self, name: String, value: Vec<u8>) -> Result<()> {
        let (name, value) = legal(&name, &value)?;
        let head = self.edit("append-header", name.as_str().len() + value.len())?;
        head.headers.append(name, value);
        Ok(())
    }

    fn remove_header(&mut self, name: String) -> Result<()> {
        let (name, _) = legal(&name, b"")?;
        self.edit("remove-header", 0)?.headers.remove(&name);
        Ok(())
    }

    fn set_path(&mut self, target: Vec<u8>) -> Result<()> {
        let head = self.edit("set-path", target.len())?;
        head.target = normal(&target)?;
        Ok(())
    }

    fn set_authority(&mut self, value: String) -> Result<()> {
        let head = self.edit("set-authority", value.len())?;
        let authority: Authority = value.parse().map_err(|_| format_err!("{value:?} is no authority"))?;
        if value.contains('@') {
            bail!("an authority has no user: {value:?}");
        }
        head.authority = HeaderValue::from_str(authority.as_str())?;
        Ok(())
    }

    fn set_tag(&mut self, name: String, value: String) -> Result<()> {
        if name.len().max(value.len()) > TAG_MAX {
            bail!("a tag has at most {TAG_MAX} bytes");
        }
        let head = self.edit("set-tag", name.len() + value.len())?;
        if let Some((_, known)) = head.tags.iter_mut().find(|(known, _)| **known == *name) {
            *known = value.into();
        } else if head.tags.len() < TAGS_MAX {
            head.tags.push((name.into(), value.into()));
        } else {
            bail!("a request has at most {TAGS_MAX} tags");
        }
        Ok(())
    }

    fn respond(&mut self, status: u16, headers: Vec<(String, Vec<u8>)>, body: Vec<u8>) -> Result<()> {
        self.edit("respond", 0)?;
        let status = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let Some(status) = status else { bail!("an answer's status is 200 to 599") };
        if body.len() > BODY_MAX {
            bail!("an answer's body has at most {BODY_MAX} bytes");
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        for (name, value) in headers {
            let (name, value) = legal(&name, &value)?;
            response.headers_mut().try_append(name, value)?;
        }
        self.edits.response = Some(response);
        Ok(())
    }
}

impl Data {
    /// The head, to be edited by so many bytes; kept as it was before the first edit.
    fn edit(&mut self, asked: &str, bytes: usize) -> Result<&mut Head> {
        if self.call != Call::OnRequest {
            bail!("called edits.{asked} in {}: only on-request edits", self.call);
        }
        let Data { head, edits, .. } = self;
        edits.added += bytes + ADDED_EACH;
        if edits.added > ADDED_MAX {
            bail!("a filter adds at most {ADDED_MAX} bytes to a request");
        }
        edits.before.get_or_insert_with(|| {
            Box::new(Before {
                target: head.target.clone(),
                authority: head.authority.clone(),
                headers: head.headers.clone(),
                tags: head.tags.clone(),
            })
        });
        Ok(head)
    }
}

/// A header that a filter may set: framing, host and what belongs to one connection are the host's.
fn legal(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue)> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format_err!("{name:?} is no header name"))?;
    let of_the_host = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    if of_the_host.contains(&parsed) || matches!(parsed.as_str(), "keep-alive" | "proxy-connection") {
        bail!("the header {name:?} belongs to the host");
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| format_err!("the value of {name:?} is illegal"))?;
    Ok((parsed, value))
}

/// Path and query, the path in its one form.
fn normal(target: &[u8]) -> Result<PathAndQuery> {
    let target = PathAndQuery::try_from(target)?;
    let path = normalize(target.path())?;
    Ok(match target.query() {
        Some(query) => format!("{path}?{query}").parse()?,
        None => path.parse()?,
    })
}
