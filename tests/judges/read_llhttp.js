// What llhttp reads, as undici carries it. Each line of the input is `requests` or `answers` and pieces in hexadecimal; each
// line of the output is JSON.
'use strict'

const readline = require('node:readline')
const wasm = require(process.argv[2] + '/node_modules/undici/lib/llhttp/llhttp-wasm.js')
const REQUEST = 1
const ANSWER = 2
const PAUSED_UPGRADE = 22
const METHODS = require(process.argv[2] + '/node_modules/undici/lib/llhttp/constants.js').METHODS
const names = Object.fromEntries(Object.entries(METHODS).map(([name, number]) => [number, name]))

let now = null
const text = (at, length) => Buffer.from(memory().subarray(at, at + length))
const on = (work) => (_, at, length) => {
  if (now && !now.over) work(at, length)
  return 0
}

const parser = new WebAssembly.Instance(new WebAssembly.Module(wasm), {
  env: {
    wasm_on_message_begin: on(() => {
      now.head = { first: '', headers: [], body: Buffer.alloc(0) }
      now.trailing = false
    }),
    wasm_on_url: on((at, length) => { now.head.first += text(at, length).toString('latin1') }),
    wasm_on_status: on(() => {}),
    wasm_on_header_field: on((at, length) => {
      const last = now.head.headers.at(-1)
      if (last && last.open) last[0] += text(at, length).toString('latin1')
      else now.head.headers.push(Object.assign([text(at, length).toString('latin1'), Buffer.alloc(0)], { open: true, trailing: now.trailing }))
    }),
    wasm_on_header_value: on((at, length) => {
      const last = now.head.headers.at(-1)
      last.open = false
      last[1] = Buffer.concat([last[1], text(at, length)])
    }),
    wasm_on_headers_complete: (pointer, status, upgrade, keep) => {
      if (now.over) return 0
      if (now.head.headers.length) now.head.headers.at(-1).open = false
      now.head.first = now.serves
        ? `${names[parser.llhttp_get_method(pointer)]} ${now.head.first}`
        : String(status)
      now.keep = keep !== 0
      now.complete = true
      now.trailing = true
      return 0
    },
    wasm_on_body: on((at, length) => { now.head.body = Buffer.concat([now.head.body, text(at, length)]) }),
    wasm_on_message_complete: on(() => {
      const interim = !now.serves && now.head.first.startsWith('1')
      if (!interim) now.whole.push(now.head)
      now.head = null
      now.complete = false
      if (!now.keep && !interim) now.over = 'last'
    })
  }
}).exports
parser._initialize()
const memory = () => new Uint8Array(parser.memory.buffer)

const told = (head) => head && {
  first: head.first,
  headers: head.headers.filter((line) => !line.trailing).map(([name, value]) => [
    name.toLowerCase(),
    // It leaves white space at a value's end to its user.
    Buffer.from(value.toString('latin1').replace(/[ \t]+$/, ''), 'latin1').toString('hex')
  ]),
  body: head.body.toString('hex')
}

function read (serves, pieces) {
  now = { serves, whole: [], head: null, complete: false, over: '', keep: true }
  const pointer = parser.llhttp_alloc(serves ? REQUEST : ANSWER)
  let why = ''
  for (const piece of pieces) {
    const place = parser.malloc(piece.length)
    memory().set(piece, place)
    const code = parser.llhttp_execute(pointer, place, piece.length)
    if (code !== 0 && !now.over) {
      now.over = code === PAUSED_UPGRADE ? 'last' : 'refused'
      const reason = parser.llhttp_get_error_reason(pointer)
      const bytes = memory()
      why = Buffer.from(bytes.subarray(reason, bytes.indexOf(0, reason))).toString()
    }
    parser.free(place)
    if (now.over) break
  }
  parser.llhttp_free(pointer)
  const begun = now.over === 'refused' || !now.complete ? null : now.head
  const end = now.over || (now.head ? 'within' : 'between')
  return { messages: now.whole.map(told), begun: told(begun), end, why }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [side, ...pieces] = line.trim().split(' ')
  console.log(JSON.stringify(read(side === 'requests', pieces.map((piece) => Buffer.from(piece, 'hex')))))
})
