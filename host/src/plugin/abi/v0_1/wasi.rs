//! WASI 0.2 as plugins get it: linked, because ordinary Rust, JavaScript and Python import it without using it; empty;
//! and never blocking. Clocks and chance are the contract's. What is left of wasmtime-wasi here (files, sockets) has
//! nothing to work on.

use crate::plugin::sandbox::Data;
use wasmtime::{
    Result, StoreContextMut, bail,
    component::{HasSelf, Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    filesystem::{WasiFilesystem, WasiFilesystemCtxView},
    p2::{
        DynPollable, IoError, UdpSocket,
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

/// The package version that these names carry; the linker finds them for every 0.2.
const IO_ERROR: &str = "wasi:io/error@0.2.12";
const UDP_CREATE: &str = "wasi:sockets/udp-create-socket@0.2.12";
/// How much chance a guest may ask for with one call, in bytes.
const RANDOM_MAX: u64 = 64 << 10;

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
        self.ready()
    }

    fn subscribe_duration(&mut self, _: u64) -> Result<Resource<DynPollable>> {
        self.ready()
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
