//! WASI 0.2 as plugins get it: linked, because ordinary Rust, JavaScript and Python import it without using it; empty;
//! and never blocking. wasmtime-wasi's own functions for streams and polls block inside a runtime, which panics on a
//! worker's, so those are ours: what is printed goes to the plugin's log, input is at its end, polls are ready at once.
//! Clocks and chance are the contract's. What is left of wasmtime-wasi here (files, sockets) has nothing to work on.

use crate::plugin::{
    Level,
    log::{LINE_MAX, Log},
    sandbox::Data,
};
use wasmtime::{
    Result, StoreContextMut, bail,
    component::{HasSelf, Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    filesystem::{WasiFilesystem, WasiFilesystemCtxView},
    p2::{
        DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult, UdpSocket,
        bindings::{
            cli::{environment, exit, stderr, stdin, stdout},
            cli::{terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout},
            clocks::{monotonic_clock, wall_clock},
            filesystem::preopens,
            random::{insecure, insecure_seed, random},
            sockets::{instance_network, ip_name_lookup, network, tcp_create_socket},
            sync::{
                filesystem::types,
                io::{poll, streams},
                sockets::{tcp, udp},
            },
        },
    },
    sockets::{WasiSockets, WasiSocketsCtxView},
};

/// The package version that names below carry; the linker finds them for every 0.2.
const IO_ERROR: &str = "wasi:io/error@0.2.12";
const UDP_CREATE: &str = "wasi:sockets/udp-create-socket@0.2.12";
/// Handles of the three streams. There are no others, so no table is needed to tell them apart.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// How much a guest may write with one call.
const WRITE_MAX: u64 = 64 << 10;
/// How much chance a guest may ask for with one call, in bytes.
const RANDOM_MAX: u64 = 64 << 10;
/// How much of standard error a fault quotes, in bytes.
const LAST_WORDS_MAX: usize = 8 << 10;

/// Links WASI.
pub(super) fn link(linker: &mut Linker<Data>) -> Result<()> {
    type Ours = HasSelf<Data>;
    let mut error = linker.instance(IO_ERROR)?;
    error.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;
    error.func_wrap("[method]error.to-debug-string", |_: StoreContextMut<'_, Data>, _: (Resource<IoError>,)| {
        Ok((String::new(),))
    })?;
    poll::add_to_linker::<_, Ours>(linker, |data| data)?;
    streams::add_to_linker::<_, Ours>(linker, |data| data)?;
    environment::add_to_linker::<_, Ours>(linker, |data| data)?;
    exit::add_to_linker::<_, Ours>(linker, |data| data)?;
    stdin::add_to_linker::<_, Ours>(linker, |data| data)?;
    stdout::add_to_linker::<_, Ours>(linker, |data| data)?;
    stderr::add_to_linker::<_, Ours>(linker, |data| data)?;
    terminal_input::add_to_linker::<_, Ours>(linker, |data| data)?;
    terminal_output::add_to_linker::<_, Ours>(linker, |data| data)?;
    terminal_stdin::add_to_linker::<_, Ours>(linker, |data| data)?;
    terminal_stdout::add_to_linker::<_, Ours>(linker, |data| data)?;
    terminal_stderr::add_to_linker::<_, Ours>(linker, |data| data)?;
    monotonic_clock::add_to_linker::<_, Ours>(linker, |data| data)?;
    wall_clock::add_to_linker::<_, Ours>(linker, |data| data)?;
    random::add_to_linker::<_, Ours>(linker, |data| data)?;
    insecure::add_to_linker::<_, Ours>(linker, |data| data)?;
    insecure_seed::add_to_linker::<_, Ours>(linker, |data| data)?;

    type Denied = std::result::Result<Resource<UdpSocket>, network::ErrorCode>;
    // wasmtime-wasi's blocks even while it denies.
    linker.instance(UDP_CREATE)?.func_wrap(
        "create-udp-socket",
        |_: StoreContextMut<'_, Data>, _: (network::IpAddressFamily,)| {
            Ok((Denied::Err(network::ErrorCode::AccessDenied),))
        },
    )?;
    preopens::add_to_linker::<_, WasiFilesystem>(linker, files)?;
    types::add_to_linker::<_, WasiFilesystem>(linker, files)?;
    let options = network::LinkOptions::default();
    network::add_to_linker::<_, WasiSockets>(linker, &options, sockets)?;
    instance_network::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    tcp::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    udp::add_to_linker::<_, WasiSockets>(linker, sockets)
}

fn files(data: &mut Data) -> WasiFilesystemCtxView<'_> {
    WasiFilesystemCtxView { ctx: &mut data.filesystem, table: &mut data.table }
}

fn sockets(data: &mut Data) -> WasiSocketsCtxView<'_> {
    WasiSocketsCtxView { ctx: &mut data.sockets, table: &mut data.table }
}

/// What a guest printed: whole lines went to the log, the rest waits for its end.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    out: Vec<u8>,
    err: Vec<u8>,
    last_words: Vec<u8>,
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

/// Keeps the end of it all.
fn remember(words: &mut Vec<u8>, bytes: &[u8]) {
    words.extend_from_slice(bytes);
    words.drain(..words.len().saturating_sub(LAST_WORDS_MAX));
}

impl stdin::Host for Data {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        Ok(Resource::new_own(STDIN))
    }
}

impl stdout::Host for Data {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        Ok(Resource::new_own(STDOUT))
    }
}

impl stderr::Host for Data {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        Ok(Resource::new_own(STDERR))
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
        Ok(WRITE_MAX)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
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
        Ok(ready())
    }

    fn drop(&mut self, _: Resource<DynOutputStream>) -> Result<()> {
        Ok(())
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
        Ok(ready())
    }

    fn drop(&mut self, _: Resource<DynInputStream>) -> Result<()> {
        Ok(())
    }
}

/// Every pollable is the same one, and ready: whatever a guest waits for, no worker waits with it.
fn ready() -> Resource<DynPollable> {
    Resource::new_own(0)
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

    fn drop(&mut self, _: Resource<DynPollable>) -> Result<()> {
        Ok(())
    }
}

impl environment::Host for Data {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for Data {
    fn exit(&mut self, _: std::result::Result<(), ()>) -> Result<()> {
        bail!("called exit: a plugin lives until its host drops it")
    }

    fn exit_with_code(&mut self, _: u8) -> Result<()> {
        exit::Host::exit(self, Ok(()))
    }
}

impl terminal_input::Host for Data {}

impl terminal_input::HostTerminalInput for Data {
    fn drop(&mut self, _: Resource<terminal_input::TerminalInput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_output::Host for Data {}

impl terminal_output::HostTerminalOutput for Data {
    fn drop(&mut self, _: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_stdin::Host for Data {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for Data {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for Data {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl monotonic_clock::Host for Data {
    fn now(&mut self) -> Result<u64> {
        Ok(self.now_us.saturating_mul(1000))
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1000)
    }

    fn subscribe_instant(&mut self, _: u64) -> Result<Resource<DynPollable>> {
        Ok(ready())
    }

    fn subscribe_duration(&mut self, _: u64) -> Result<Resource<DynPollable>> {
        Ok(ready())
    }
}

impl wall_clock::Host for Data {
    /// The same clock: nobody tells a plugin what day it is, or two machines would decide differently.
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        let nanoseconds = u32::try_from(self.now_us % 1_000_000)? * 1000;
        Ok(wall_clock::Datetime { seconds: self.now_us / 1_000_000, nanoseconds })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1000 })
    }
}

impl random::Host for Data {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > RANDOM_MAX {
            bail!("asked for {len} random bytes at once; {RANDOM_MAX} are the most");
        }
        Ok(std::iter::repeat_with(|| self.rng.bits().to_le_bytes()).flatten().take(usize::try_from(len)?).collect())
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.rng.bits())
    }
}

impl insecure::Host for Data {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        random::Host::get_random_bytes(self, len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        random::Host::get_random_u64(self)
    }
}

impl insecure_seed::Host for Data {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.rng.bits(), self.rng.bits()))
    }
}
