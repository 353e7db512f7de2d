//! One question on a connection of its own, as a health check and a probe have it. No task: nothing outlives the answer.

use super::kind;
use crate::upstream::{error::ErrorKind, stream::Stream};
use bytes::Bytes;
use h2::client;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use std::pin::pin;

/// What is asked.
#[derive(Debug)]
pub(in crate::upstream) struct Question<'a> {
    pub(in crate::upstream) method: Method,
    pub(in crate::upstream) path: &'a str,
    pub(in crate::upstream) agent: &'static str,
    pub(in crate::upstream) headers: &'a [(HeaderName, &'static str)],
    /// Empty: none.
    pub(in crate::upstream) body: Bytes,
    /// Bytes of the answer's body that are wanted.
    pub(in crate::upstream) wanted: usize,
}

/// What was answered.
#[derive(Debug)]
pub(in crate::upstream) struct Answered {
    pub(in crate::upstream) status: StatusCode,
    pub(in crate::upstream) headers: HeaderMap,
    /// As much as was wanted, or a little more.
    pub(in crate::upstream) body: Vec<u8>,
    /// Where all of the body was wanted.
    pub(in crate::upstream) trailers: HeaderMap,
}

/// The answer. Dropping this future closes the connection.
pub(in crate::upstream) async fn ask(
    stream: Stream,
    authority: &str,
    question: Question<'_>,
) -> Result<Answered, ErrorKind> {
    let uri = Uri::builder().scheme(stream.scheme()).authority(authority).path_and_query(question.path).build();
    let uri = uri.map_err(|error| ErrorKind::BadStream(error.to_string()))?;
    let mut request = Request::new(());
    *request.method_mut() = question.method;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(question.agent));
    for (name, value) in question.headers {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let (mut sender, connection) = client::handshake(stream).await.map_err(kind)?;
    let has_body = !question.body.is_empty();
    let (response, mut upload) = sender.send_request(request, !has_body).map_err(kind)?;
    if has_body {
        upload.send_data(question.body, true).map_err(kind)?;
    }
    let mut connection = pin!(connection);
    let mut answer = pin!(read(response, question.wanted));
    let answered = tokio::select! {
        biased;
        answered = &mut answer => answered,
        // Its last bytes may have been the answer.
        _ = &mut connection => answer.await,
    };
    answered.map_err(kind)
}

async fn read(response: client::ResponseFuture, wanted: usize) -> Result<Answered, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let (mut body, mut trailers) = (Vec::new(), None);
    while body.len() < wanted {
        let Some(piece) = stream.data().await.transpose()? else {
            trailers = stream.trailers().await?;
            break;
        };
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(Answered { status: head.status, headers: head.headers, body, trailers: trailers.unwrap_or_default() })
}
