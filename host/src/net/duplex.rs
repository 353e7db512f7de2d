//! Bytes both ways between two streams, until both have said that nothing more comes. What waits for a side that takes
//! nothing is bounded, and a pair of streams on which nothing moves holds no buffer at all.

use super::{Deadline, TURN_BYTES_MOST, give_way};
use bytes::{Buf, Bytes};
use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Bytes of one read, and so of what waits for a side that takes nothing.
const PIECE_MOST: usize = 16 << 10;

/// Why not everything was carried to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// The first of both broke.
    #[error("{0}")]
    First(#[source] io::Error),
    /// The second of both broke.
    #[error("{0}")]
    Second(#[source] io::Error),
    /// Nothing moved for too long.
    #[error("nothing moved for {0:?}")]
    Idle(Duration),
    /// `told` was ready.
    #[error("it was told to end")]
    Told,
}

/// Carries bytes both ways, and the end of either direction too. Dropping this future leaves both streams as they are,
/// and loses what was read and not yet written.
pub(super) async fn duplex<A, B>(
    first: &mut A,
    second: &mut B,
    idle: Duration,
    told: impl Future<Output = ()>,
) -> Result<(), Cut>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Pipe::default(), Pipe::default());
    let mut still = Deadline::new(Instant::now() + idle);
    let mut told = pin!(told);
    poll_fn(|cx| {
        let there_ended = there.poll(first, second, cx).map_err(Cut::First)?;
        let back_ended = back.poll(second, first, cx).map_err(Cut::Second)?;
        if there_ended.is_ready() && back_ended.is_ready() {
            let refused = there.refused.take().map(Cut::Second).or(back.refused.take().map(Cut::First));
            return Poll::Ready(refused.map_or(Ok(()), Err));
        }
        if there.has_moved() | back.has_moved() {
            still.set(Instant::now() + idle);
        }
        if told.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Cut::Told));
        }
        still.poll_reached(cx).map(|()| Err(Cut::Idle(idle)))
    })
    .await
}

/// One direction.
#[derive(Default)]
struct Pipe {
    /// Read, and not yet taken by the other side.
    waiting: Bytes,
    stage: Stage,
    /// The other side takes no more. What it has to say may still come.
    refused: Option<io::Error>,
    /// Something was written behind the last flush.
    unflushed: bool,
    moved: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// Nothing more comes.
    Ended,
    /// And the other side knows.
    Told,
}

impl Pipe {
    /// Whether anything came through since this was asked last.
    fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Moves what can be moved; ready when nothing more ever will. An error is that of who is read from.
    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut moved = 0;
        while self.stage != Stage::Told && self.refused.is_none() {
            let written = match self.stage {
                _ if !self.waiting.is_empty() => {
                    ready!(Pin::new(&mut *to).poll_write(cx, &self.waiting)).and_then(some)
                }
                Stage::Ended => ready!(Pin::new(&mut *to).poll_shutdown(cx)).map(|()| {
                    self.stage = Stage::Told;
                    0
                }),
                _ if moved >= TURN_BYTES_MOST => return give_way(cx),
                _ => {
                    moved += ready!(self.poll_piece(from, to, cx))?;
                    continue;
                }
            };
            match written {
                Ok(n) => self.waiting.advance(n),
                Err(error) => self.refused = Some(error),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a piece and writes it at once, as much of it as is taken: mostly all of it, and nothing was copied. How much
    /// was read; 0 at the end.
    fn poll_piece<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut scratch = [MaybeUninit::uninit(); PIECE_MOST];
        let mut piece = ReadBuf::uninit(&mut scratch);
        let Poll::Ready(read) = Pin::new(from).poll_read(cx, &mut piece) else {
            if !std::mem::take(&mut self.unflushed) {
                return Poll::Pending;
            }
            return match Pin::new(to).poll_flush(cx) {
                Poll::Ready(Err(error)) => {
                    self.refused = Some(error);
                    Poll::Ready(Ok(0))
                }
                flushed => {
                    self.unflushed = flushed.is_pending();
                    Poll::Pending
                }
            };
        };
        read?;
        let piece = piece.filled();
        if piece.is_empty() {
            self.stage = Stage::Ended;
            return Poll::Ready(Ok(0));
        }
        self.moved = true;
        self.unflushed = true;
        let taken = match Pin::new(to).poll_write(cx, piece) {
            Poll::Ready(written) => written.and_then(some),
            Poll::Pending => Ok(0),
        };
        match taken {
            Ok(n) if n == piece.len() => {}
            Ok(n) => self.waiting = Bytes::copy_from_slice(&piece[n..]),
            Err(error) => self.refused = Some(error),
        }
        Poll::Ready(Ok(piece.len()))
    }
}

/// A write that takes nothing is none.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::sleep,
    };

    const IDLE: Duration = Duration::from_secs(60);

    /// Two streams with a tunnel between them, and the other ends of both; little is in flight at once.
    fn streams() -> ((DuplexStream, DuplexStream), (DuplexStream, DuplexStream)) {
        let ((client, first), (second, backend)) = (tokio::io::duplex(1000), tokio::io::duplex(700));
        ((client, backend), (first, second))
    }

    #[tokio::test(start_paused = true)]
    async fn what_either_side_says_arrives_whole_and_so_does_its_end() {
        let ((client, backend), (mut first, mut second)) = streams();
        let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let talk = async |stream: DuplexStream| {
            let (mut reads, mut writes) = tokio::io::split(stream);
            let mut heard = Vec::new();
            let say = async {
                writes.write_all(&large).await.unwrap();
                writes.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(say, reads.read_to_end(&mut heard));
            read.unwrap();
            assert!(heard == large);
        };
        let (carried, (), ()) =
            tokio::join!(duplex(&mut first, &mut second, IDLE, pending()), talk(client), talk(backend));
        carried.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn after_one_side_has_ended_the_other_may_go_on() {
        let ((mut client, mut backend), (mut first, mut second)) = streams();
        let story = async move {
            client.write_all(b"all").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = String::new();
            backend.read_to_string(&mut asked).await.unwrap();
            sleep(IDLE / 2).await;
            backend.write_all(b"told").await.unwrap();
            drop(backend);
            let mut told = String::new();
            client.read_to_string(&mut told).await.unwrap();
            (asked, told)
        };
        let (carried, heard) = tokio::join!(duplex(&mut first, &mut second, IDLE, pending()), story);
        carried.unwrap();
        assert_eq!(heard, ("all".into(), "told".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nothing_moves_or_when_it_is_told_to() {
        let start = Instant::now();
        let ((mut client, backend), (mut first, mut second)) = streams();
        let talks = async {
            sleep(IDLE / 2).await;
            client.write_all(b"x").await.unwrap();
            pending::<()>().await;
        };
        let cut = tokio::select! {
            cut = duplex(&mut first, &mut second, IDLE, pending()) => cut,
            () = talks => unreachable!(),
        };
        assert!(matches!(cut, Err(Cut::Idle(IDLE))));
        assert_eq!(start.elapsed(), IDLE / 2 + IDLE);
        drop(backend);

        let (_others, (mut first, mut second)) = streams();
        let told = sleep(IDLE / 3);
        assert!(matches!(duplex(&mut first, &mut second, IDLE, told).await, Err(Cut::Told)));
    }

    /// Takes all that is written, and breaks when it is flushed, as TLS may that holds bytes back.
    struct BreaksAtFlush(DuplexStream);

    impl AsyncRead for BreaksAtFlush {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for BreaksAtFlush {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_breaks_at_a_flush_is_to_blame() {
        for is_second in [true, false] {
            let ((mut asks, mut other), (first, second)) = streams();
            asks.write_all(b"x").await.unwrap();
            other.shutdown().await.unwrap();
            let cut = if is_second {
                duplex(&mut { first }, &mut BreaksAtFlush(second), IDLE, pending()).await
            } else {
                duplex(&mut BreaksAtFlush(second), &mut { first }, IDLE, pending()).await
            };
            match cut {
                Err(Cut::Second(_)) => assert!(is_second),
                Err(Cut::First(_)) => assert!(!is_second),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_side_that_takes_nothing_is_bounded() {
        let ((mut client, _backend), (mut first, mut second)) = streams();
        let mut sent = 0;
        let floods = async {
            loop {
                sent += client.write(&[0; 4096]).await.unwrap();
            }
        };
        let cut = tokio::select! {
            cut = duplex(&mut first, &mut second, IDLE, pending()) => cut,
            () = floods => unreachable!(),
        };
        assert!(matches!(cut, Err(Cut::Idle(_))), "a flood that nobody takes is no movement");
        assert!(sent <= PIECE_MOST + 2 * 1000 + 700, "{sent}");
    }
}
