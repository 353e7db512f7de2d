//! A byte stream that is one of two.

/// Reads and writes of an enum whose two variants each hold a byte stream, by the one that it holds.
macro_rules! stream_of_either {
    ($either:ident: $one:ident | $other:ident) => {
        const _: () = {
            use ::std::{
                io::{IoSlice, Result},
                pin::Pin,
                task::{Context, Poll},
            };
            use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

            impl AsyncRead for $either {
                fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
                    match self.get_mut() {
                        $either::$one(stream) => Pin::new(stream).poll_read(cx, buffer),
                        $either::$other(stream) => Pin::new(stream).poll_read(cx, buffer),
                    }
                }
            }

            impl AsyncWrite for $either {
                fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
                    match self.get_mut() {
                        $either::$one(stream) => Pin::new(stream).poll_write(cx, bytes),
                        $either::$other(stream) => Pin::new(stream).poll_write(cx, bytes),
                    }
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    slices: &[IoSlice<'_>],
                ) -> Poll<Result<usize>> {
                    match self.get_mut() {
                        $either::$one(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
                        $either::$other(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
                    }
                }

                fn is_write_vectored(&self) -> bool {
                    match self {
                        $either::$one(stream) => stream.is_write_vectored(),
                        $either::$other(stream) => stream.is_write_vectored(),
                    }
                }

                fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
                    match self.get_mut() {
                        $either::$one(stream) => Pin::new(stream).poll_flush(cx),
                        $either::$other(stream) => Pin::new(stream).poll_flush(cx),
                    }
                }

                fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
                    match self.get_mut() {
                        $either::$one(stream) => Pin::new(stream).poll_shutdown(cx),
                        $either::$other(stream) => Pin::new(stream).poll_shutdown(cx),
                    }
                }
            }
        };
    };
}

pub(crate) use stream_of_either;
