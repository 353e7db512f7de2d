//! Small guests, in text form. Each begins as a good plugin; a test replaces the part it is about.

/// `choose(0)`.
pub(crate) const CHOOSE_FIRST: &str = "(call $choose (i32.const 0))";
/// For ever.
pub(crate) const LOOP: &str = "(loop $ever (br $ever))";
/// Until there is no more memory, then a trap.
pub(crate) const GROW: &str = "(loop $more
    (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
    (br $more))";
/// Without end.
pub(crate) const RECURSE: &str = "(call $recurse)";

/// A guest under construction.
#[derive(Clone)]
pub(crate) struct Guest {
    is_balancer: bool,
    configure: String,
    update: String,
    pick: String,
    on_request: String,
    tick: Option<String>,
}

/// Chooses the first backend, always.
pub(crate) fn balancer() -> Guest {
    Guest {
        is_balancer: true,
        configure: "(i32.const 0)".into(),
        update: String::new(),
        pick: CHOOSE_FIRST.into(),
        on_request: "(i32.const 0)".into(),
        tick: None,
    }
}

/// Lets every request pass.
pub(crate) fn filter() -> Guest {
    Guest { is_balancer: false, ..balancer() }
}

impl Guest {
    /// Leaves the address of a `result<_, string>`: 0 is an `ok`, and `(call $refuse ptr len)` makes an `err`. The place
    /// is in `$instance $instances $generation $seed`, the settings' length in `$settings_len`.
    pub(crate) fn configure(self, body: &str) -> Guest {
        Guest { configure: body.into(), ..self }
    }

    /// Leaves nothing. The numbers of ready and other members are in `$ready` and `$others`.
    pub(crate) fn update(self, body: &str) -> Guest {
        Guest { update: body.into(), ..self }
    }

    /// Leaves the address of a decision. The turn is in `$now $random $has_key $key $attempt $explain`.
    pub(crate) fn pick(self, body: &str) -> Guest {
        Guest { pick: body.into(), ..self }
    }

    /// Leaves 0 for `next`, 1 for `responded`.
    pub(crate) fn on_request(self, body: &str) -> Guest {
        Guest { on_request: body.into(), ..self }
    }

    /// Leaves nothing; exports the half `ticker`, with a period of 1 ms.
    pub(crate) fn tick(self, body: &str) -> Guest {
        Guest { tick: Some(body.into()), ..self }
    }

    /// The component.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = include_str!("shell.wat").replace("GUEST)", &format!("{})", self.functions()));
        wat::parse_str(text.replace("EXPORTS)", &format!("{})", self.exports()))).unwrap()
    }

    fn functions(&self) -> String {
        let Guest { configure, update, pick, on_request, .. } = self;
        let tick = self.tick.as_deref().unwrap_or_default();
        let turn = "(param $now i64) (param $random i64) (param $has_key i32) (param $key i64) (param $attempt i32)
            (param $explain i32) (result i32) (call $reset)";
        format!(
            r#"(func (export "configure") (param i32) (param $settings_len i32) (param i32 i32 i32 i32)
                (param $instance i32) (param $instances i32) (param $generation i64) (param $seed i64) (result i32)
                {configure})
            (func (export "update") (param i32) (param $ready i32) (param i32) (param $others i32)
                (call $reset) {update})
            (func $pick (export "pick") {turn} {pick})
            (func $on_request (export "on-request") {turn} {on_request})
            (func (export "period-ms") (result i32) (i32.const 1))
            (func (export "tick") (param $now i64) {tick})"#
        )
    }

    fn exports(&self) -> String {
        let half = if self.is_balancer {
            r#"(func $update (param "backends" (list $backend)) (param "others" (list $backend))
                (canon lift (core func $guest "update") (memory $memory) (realloc $realloc)))
            (func $pick (param "turn" $turn) (result $decision)
                (canon lift (core func $guest "pick") (memory $memory) (realloc $realloc)))
            (instance $balancer (export "configure" (func $configure)) (export "update" (func $update))
                (export "pick" (func $pick)))
            (export "pointsman:plugin/balancer@0.1.0" (instance $balancer))"#
        } else {
            r#"(type $verdict (enum "next" "responded"))
            (func $on-request (param "turn" $turn) (result $verdict) (canon lift (core func $guest "on-request")))
            (instance $filter (export "verdict" (type $verdict)) (export "configure" (func $configure))
                (export "on-request" (func $on-request)))
            (export "pointsman:plugin/filter@0.1.0" (instance $filter))"#
        };
        let ticker = match self.tick {
            Some(_) => {
                r#"(func $period (result u32) (canon lift (core func $guest "period-ms")))
                (func $tick (param "now-us" u64) (canon lift (core func $guest "tick")))
                (instance $ticker (export "period-ms" (func $period)) (export "tick" (func $tick)))
                (export "pointsman:plugin/ticker@0.1.0" (instance $ticker))"#
            }
            None => "",
        };
        format!("{half} {ticker}")
    }
}
