//! One question on a connection of its own, as a health check has it. No task: nothing outlives the answer.

use super::kind;
use crate::upstream::{error::ErrorKind, stream::Stream};
use h2::client;
use http::{Method, Request, StatusCode, Uri, Version};
use std::pin::pin;

/// The status of the answer to a `GET`, and so many bytes of its body. Dropping this future closes the connection.
pub(in crate::upstream) async fn get(
    stream: Stream,
    authority: &str,
    path: &str,
    body_most: usize,
) -> Result<(StatusCode, Vec<u8>), ErrorKind> {
    let uri = Uri::builder().scheme(stream.scheme()).authority(authority).path_and_query(path).build();
    let uri = uri.map_err(|error| ErrorKind::BadStream(error.to_string()))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let (mut sender, connection) = client::handshake(stream).await.map_err(kind)?;
    let (response, _) = sender.send_request(request, true).map_err(kind)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let (head, mut stream) = response.await?.into_parts();
        let mut body = Vec::new();
        while body.len() < body_most
            && let Some(piece) = stream.data().await.transpose()?
        {
            stream.flow_control().release_capacity(piece.len())?;
            body.extend_from_slice(&piece);
        }
        Ok((head.status, body))
    });
    let answered = tokio::select! {
        biased;
        answered = &mut answer => answered,
        // Its last bytes may have been the answer.
        _ = &mut connection => answer.await,
    };
    answered.map_err(kind)
}
