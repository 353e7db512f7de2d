//! What a plugin prints goes to its log, input is at its end, and whatever it waits for is ready at once. wasmtime-wasi's
//! own functions for this block inside a runtime, which panics on a worker's.

use crate::plugin::{
    Level,
    log::{LINE_MAX, Log},
    sandbox::Data,
};
use wasmtime::{Result, bail, component::Resource};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult,
    bindings::{
        cli::{stderr, stdin, stdout},
        sync::io::{poll, streams},
    },
};

/// Handles of the three streams. There are no others, so no table is needed to tell them apart.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// How many handles of streams and pollables a guest may hold.
const HANDLES_MAX: u32 = 256;
/// How much a guest may write with one call, in bytes: WASI's own limit for `blocking-write-and-flush`.
const WRITE_MAX: usize = 4096;
/// How much of standard error a fault quotes, in bytes.
const LAST_WORDS_MAX: usize = 2 << 10;

/// What a guest printed: whole lines went to the log, the rest waits for its end.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    out: Vec<u8>,
    err: Vec<u8>,
    last_words: Vec<u8>,
    handles: u32,
}

impl Stdio {
    /// Before a call: what was printed in earlier ones explains no fault of this one.
    pub(crate) fn forget(&mut self) {
        self.last_words.clear();
    }

    /// After a fault: there will be no end of the line.
    pub(crate) fn finish(&mut self, log: &Log) {
        for (line, level) in [(&mut self.out, Level::Info), (&mut self.err, Level::Warn)] {
            if !line.is_empty() {
                log.write(level, &String::from_utf8_lossy(line));
                line.clear();
            }
        }
    }

    /// The end of what was printed to standard error since [`Stdio::forget`].
    pub(crate) fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.last_words).trim().to_owned()
    }

    fn write(&mut self, stream: u32, bytes: &[u8], log: &Log) {
        let (line, level) = match stream {
            STDERR => {
                remember(&mut self.last_words, bytes);
                (&mut self.err, Level::Warn)
            }
            _ => (&mut self.out, Level::Info),
        };
        let mut parts = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            line.extend_from_slice(&part[..part.len().min(LINE_MAX.saturating_sub(line.len()))]);
            if parts.peek().is_some() {
                log.write(level, &String::from_utf8_lossy(line));
                line.clear();
            }
        }
    }
}

impl Data {
    /// One more handle for the guest.
    fn hand_out<T: 'static>(&mut self, number: u32) -> Result<Resource<T>> {
        if self.stdio.handles == HANDLES_MAX {
            bail!("holds {HANDLES_MAX} handles of streams and pollables: it drops none of them");
        }
        self.stdio.handles += 1;
        Ok(Resource::new_own(number))
    }

    fn take_back<T>(&mut self, _: Resource<T>) -> Result<()> {
        self.stdio.handles = self.stdio.handles.saturating_sub(1);
        Ok(())
    }

    /// Every pollable is ready: whatever a guest waits for, no worker waits with it.
    pub(super) fn ready(&mut self) -> Result<Resource<DynPollable>> {
        self.hand_out(0)
    }
}

/// Keeps the end of it all.
fn remember(words: &mut Vec<u8>, bytes: &[u8]) {
    words.extend_from_slice(bytes);
    words.drain(..words.len().saturating_sub(LAST_WORDS_MAX));
}

impl stdin::Host for Data {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        self.hand_out(STDIN)
    }
}

impl stdout::Host for Data {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.hand_out(STDOUT)
    }
}

impl stderr::Host for Data {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.hand_out(STDERR)
    }
}

impl streams::Host for Data {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) | StreamError::Trap(error) => Err(error),
        }
    }
}

impl streams::HostOutputStream for Data {
    fn check_write(&mut self, _: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(WRITE_MAX as u64)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        if bytes.len() > WRITE_MAX {
            let asked = format!("wrote {} bytes at once; {WRITE_MAX} are the most", bytes.len());
            return Err(StreamError::trap(&asked));
        }
        self.stdio.write(stream.rep(), &bytes, &self.log);
        Ok(())
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(self, stream, bytes)
    }

    fn flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn write_zeroes(&mut self, _: Resource<DynOutputStream>, _: u64) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_write_zeroes_and_flush(&mut self, _: Resource<DynOutputStream>, _: u64) -> StreamResult<()> {
        Ok(())
    }

    fn splice(&mut self, _: Resource<DynOutputStream>, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        _: Resource<DynOutputStream>,
        _: Resource<DynInputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        self.ready()
    }

    fn drop(&mut self, handle: Resource<DynOutputStream>) -> Result<()> {
        self.take_back(handle)
    }
}

impl streams::HostInputStream for Data {
    fn read(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        self.ready()
    }

    fn drop(&mut self, handle: Resource<DynInputStream>) -> Result<()> {
        self.take_back(handle)
    }
}

impl poll::Host for Data {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        Ok((0..u32::try_from(pollables.len())?).collect())
    }
}

impl poll::HostPollable for Data {
    fn ready(&mut self, _: Resource<DynPollable>) -> Result<bool> {
        Ok(true)
    }

    fn block(&mut self, _: Resource<DynPollable>) -> Result<()> {
        Ok(())
    }

    fn drop(&mut self, handle: Resource<DynPollable>) -> Result<()> {
        self.take_back(handle)
    }
}
