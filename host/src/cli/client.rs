//! Calls the admin API of a running Pointsman.

use super::Failure;
use crate::{
    admin,
    config::{default_admin, model::AdminAddress, token_file},
    problem::{Code, Problem, Report},
};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{fs, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    runtime::Builder,
};

/// For a whole call; the API answers from memory, but for a reload, which may compile plugins.
const CALL_MOST: Duration = Duration::from_secs(30);
/// An answer's size; ten thousand backends are about 3 MB.
const ANSWER_MOST: usize = 64 << 20;

/// A running Pointsman's admin API.
#[derive(Clone, Debug)]
pub struct Client {
    address: AdminAddress,
}

impl Client {
    /// At this address; none: where `run` and `try` listen by default.
    pub fn new(address: Option<&AdminAddress>) -> Client {
        Client { address: address.cloned().unwrap_or_else(default_admin) }
    }

    /// Where it calls.
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Reads.
    ///
    /// # Errors
    /// PM0601 when nobody answers.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.call(Method::GET, path)?;
        read(&body)
    }

    /// Has something done.
    ///
    /// # Errors
    /// PM0601 when nobody answers.
    pub fn post(&self, path: &str) -> Result<(), Failure> {
        self.call(Method::POST, path).map(drop)
    }

    /// Has something done, and reads what came of it.
    ///
    /// # Errors
    /// PM0601 when nobody answers.
    pub fn post_for<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.call(Method::POST, path)?)
    }

    fn call(&self, method: Method, path: &str) -> Result<Bytes, Failure> {
        if let AdminAddress::Unix(socket) = &self.address {
            // Somebody else's socket would say what it likes.
            admin::check_for(socket).map_err(|error| self.nobody(&error).note(error.to_string()))?;
        }
        let request = self.request(method, path)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (status, body) = runtime.block_on(async {
            match tokio::time::timeout(CALL_MOST, self.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.late().into()),
            }
        })?;
        if let (StatusCode::CONFLICT, Ok(report)) = (status, serde_json::from_slice::<Report>(&body)) {
            return Err(Problem::from(&report).into());
        }
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body);
            return Err(anyhow::anyhow!("{} answered {status}: {}", self.address, said.trim()).into());
        }
        Ok(body)
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<Request<Empty<Bytes>>> {
        let mut request = Request::builder().method(&method).uri(path).header(header::HOST, "localhost");
        if let (AdminAddress::Tcp(address), false) = (&self.address, method == Method::GET) {
            let file = token_file(*address);
            admin::check_for(&file)?;
            let token = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        Ok(request.body(Empty::new())?)
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let answer = match &self.address {
            AdminAddress::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => send(stream, request).await?,
                Err(error) => return Err(self.nobody(error).into()),
            },
            AdminAddress::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => send(stream, request).await?,
                Err(error) => return Err(self.nobody(error).into()),
            },
        };
        let status = answer.status();
        match Limited::new(answer.into_body(), ANSWER_MOST).collect().await {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) => Err(anyhow::anyhow!("the answer broke off: {error}").into()),
        }
    }

    fn late(&self) -> Problem {
        let headline = format!("the Pointsman on {} has not answered in {CALL_MOST:?}", self.address);
        Problem::error(Code::ADMIN_UNREACHABLE, headline)
            .note("it may still be at work on this: `pointsman status` tells what it serves")
    }

    fn nobody(&self, why: impl std::fmt::Display) -> Problem {
        Problem::error(Code::ADMIN_UNREACHABLE, format!("no Pointsman answers on {}", self.address))
            .note("is `pointsman run` or `try` up? other address: --admin")
            .detail(why)
    }
}

/// Between two calls.
pub(super) fn pause(time: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    // Within it, since a timer needs the runtime it ticks on.
    runtime.block_on(async { tokio::time::sleep(time).await });
    Ok(())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    Ok(serde_json::from_slice(body).context("the answer is not what this version of pointsman expects")?)
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> anyhow::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    match sender.send_request(request).await {
        Ok(answer) => Ok(answer),
        Err(error) => bail!("no answer: {error}"),
    }
}
