//! HTTP/1.1 and HTTP/2 over hyper: one connection, kept alive, used until it breaks.

use super::tls;
use crate::story::within;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{fmt, net::SocketAddr, path::Path};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// One connection.
pub struct Client {
    sender: Sender,
    /// Scheme and authority that requests without a host are given.
    origin: String,
}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Such as 200.
    pub status: StatusCode,
    /// What it was answered in.
    pub version: Version,
    /// Repeats kept.
    pub headers: HeaderMap,
    /// To its end.
    pub body: Bytes,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Streaming(pub Response<Incoming>);

/// No whole answer came.
#[derive(Debug)]
pub struct Failure {
    /// What broke.
    pub error: hyper::Error,
    /// The status, when the head had come.
    pub status: Option<StatusCode>,
}

/// The host that stories ask for unless they say otherwise.
const HOST: &str = "shop.test";

/// A request without a body.
pub fn request(method: Method, target: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(target).body(Full::default()).expect("a legal request")
}

/// A `POST` with a body.
pub fn body(target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(target).body(Full::new(body.into())).expect("a legal request")
}

impl Client {
    /// HTTP/1.1 over TCP.
    pub async fn plain(address: SocketAddr) -> Client {
        let stream = within("a connect", TcpStream::connect(address)).await.expect("connect");
        stream.set_nodelay(true).unwrap();
        Client::h1(stream, format!("http://{HOST}")).await
    }

    /// HTTP/1.1 over TLS.
    pub async fn tls(address: SocketAddr) -> Client {
        let (stream, _) = tls::handshake(address, HOST, &["http/1.1"]).await.expect("handshake");
        Client::h1(stream, format!("https://{HOST}")).await
    }

    /// HTTP/1.1 over TLS to `localhost`, whoever signed the certificate.
    pub async fn insecure(address: SocketAddr) -> Client {
        let hello = tls::Hello::insecure("localhost");
        let (stream, _) = tls::handshake_with(address, &hello).await.expect("handshake");
        Client::h1(stream, "https://localhost".to_owned()).await
    }

    /// HTTP/2 over TLS.
    pub async fn h2(address: SocketAddr) -> Client {
        Client::h2_with(address, &tls::Hello::new(HOST, &["h2"])).await
    }

    /// HTTP/2 over TLS, with this hello.
    ///
    /// # Panics
    /// When the handshake fails, or agrees on something else.
    pub async fn h2_with(address: SocketAddr, hello: &tls::Hello) -> Client {
        let (stream, agreed) = tls::handshake_with(address, hello).await.expect("handshake");
        assert_eq!(agreed.alpn.as_deref(), Some("h2"));
        let connecting = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = within("an h2 preface", connecting).await.expect("h2");
        tokio::spawn(connection);
        Client { sender: Sender::H2(sender), origin: format!("https://{HOST}") }
    }

    /// One more sender on the same HTTP/2 connection.
    ///
    /// # Panics
    /// When it is HTTP/1.1.
    pub fn another(&self) -> Client {
        let Sender::H2(sender) = &self.sender else { panic!("HTTP/1.1 has one request at a time") };
        Client { sender: Sender::H2(sender.clone()), origin: self.origin.clone() }
    }

    /// HTTP/1.1 over a socket file.
    pub async fn unix(path: &Path) -> Client {
        let stream = within("a connect", UnixStream::connect(path)).await.expect("connect");
        Client::h1(stream, "http://localhost".to_owned()).await
    }

    async fn h1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, origin: String) -> Client {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("h1");
        tokio::spawn(connection);
        Client { sender: Sender::H1(sender), origin }
    }

    /// Another host than `shop.test` for the requests that follow.
    pub fn host(mut self, host: &str) -> Client {
        let scheme = self.origin.split("//").next().unwrap().to_owned();
        self.origin = format!("{scheme}//{host}");
        self
    }

    /// `GET`, and a whole answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.send(request(Method::GET, target)).await.unwrap_or_else(|failure| panic!("GET {target}: {failure}"))
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Errors
    /// When the answer does not come, or not whole.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        self.open(request).await?.rest().await
    }

    /// Sends a request and reads the answer's head.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn open(&mut self, request: Request<Full<Bytes>>) -> Result<Streaming, Failure> {
        let request = self.addressed(request);
        let sending = async {
            match &mut self.sender {
                Sender::H1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::H2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        let answer = within("an answer's head", sending).await;
        answer.map(Streaming).map_err(|error| Failure { error, status: None })
    }

    /// Whether the server has closed the connection, or said that it will.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => sender.is_closed(),
            Sender::H2(sender) => sender.is_closed(),
        }
    }

    /// HTTP/1.1 names the host in a header, HTTP/2 in the target.
    fn addressed(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        let host = self.origin.split("//").nth(1).unwrap();
        match self.sender {
            Sender::H1(_) if !request.headers().contains_key("host") => {
                request.headers_mut().insert("host", host.parse().unwrap());
            }
            Sender::H2(_) if request.uri().authority().is_none() => {
                let target = format!("{}{}", self.origin, request.uri());
                *request.uri_mut() = target.parse().expect("a legal target");
            }
            _ => {}
        }
        request
    }
}

impl Streaming {
    /// Such as 200.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            match within("a piece of a body", self.0.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The body to its end, with the head.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn rest(self) -> Result<Answer, Failure> {
        let (head, body) = self.0.into_parts();
        let body = within("an answer's body", body.collect()).await;
        let body = body.map_err(|error| Failure { error, status: Some(head.status) })?.to_bytes();
        Ok(Answer { status: head.status, version: head.version, headers: head.headers, body })
    }
}

impl Answer {
    /// The only value of a header; none when it is absent.
    ///
    /// # Panics
    /// When it is repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().expect("a value in ASCII"));
        assert!(all.next().is_none(), "`{name}` is repeated");
        first
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.error)?;
        self.status.map_or(Ok(()), |status| write!(f, " after the head of a {status}"))
    }
}
