// Runs the module and exits with 1 when its exchange fails: node run.mjs MODULE.wasm
import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";

const host = { random_u32: () => webcrypto.getRandomValues(new Uint32Array(1))[0] };
const bytes = await readFile(process.argv[2]);
const { instance } = await WebAssembly.instantiate(bytes, { host });

const failure = BigInt.asUintN(64, instance.exports.run());
if (failure !== 0n) {
  const text = new Uint8Array(instance.exports.memory.buffer, Number(failure >> 32n), Number(failure & 0xffffffffn));
  console.error(`wasm32: ${new TextDecoder().decode(text)}`);
  process.exit(1);
}
console.log(`wasm32: client and server understood each other (module of ${bytes.length} bytes)`);
