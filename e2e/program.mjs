// Starts and stops `plimsoll up` on the example, as a user does.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const root = resolve(import.meta.dirname, "..");
// PLIMSOLL names another program than the one that `make build` makes.
const binary = process.env.PLIMSOLL ?? join(root, "bin", "plimsoll");
const patience = 60_000;

/** The example, running from a state folder of its own. */
export class Program {
  #child;
  #printed = "";
  #addresses = { ui: "127.0.0.1:0", router: "127.0.0.1:0", aws: "127.0.0.1:0" };

  constructor() {
    if (!existsSync(binary)) throw new Error(`there is no ${binary}; run "make build" first`);
    this.state = mkdtempSync(join(tmpdir(), "plimsoll-e2e-"));
  }

  /** The dashboard's address. */
  get url() {
    return `http://${this.#addresses.ui}/`;
  }

  /** Starts it, the second time at the addresses of the first, and waits until it serves. */
  async start() {
    const { ui, router, aws } = this.#addresses;
    const args = ["up", "-f", "examples/tiles/compose.yaml", "--load", "--state", this.state, "--ui", ui, "--router", router, "--aws", aws];
    const child = spawn(binary, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const out of [child.stdout, child.stderr]) out.on("data", (text) => (this.#printed = (this.#printed + text).slice(-20_000)));
    const file = join(this.state, "plimsoll.json");
    await this.#until("its run file", () => {
      if (!existsSync(file)) return false;
      let run;
      try {
        run = JSON.parse(readFileSync(file, "utf8"));
      } catch {
        return false; // it is being written
      }
      if (run.pid !== child.pid) return false; // it is of the one before
      for (const name of Object.keys(this.#addresses)) this.#addresses[name] = hostPort(run[name]);
      return true;
    });
    await this.#until("an answer", async () => {
      try {
        return (await fetch(`${this.url}v1/status`)).ok;
      } catch {
        return false;
      }
    });
  }

  /** Ends it at once, as a crash does: its tasks live on. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** Ends it in order, with all that it started, and forgets its state. */
  async stop() {
    const code = await this.#end("SIGTERM");
    rmSync(this.state, { recursive: true, force: true });
    if (code !== 0) throw new Error(`after SIGTERM the exit status is ${code}; it printed:\n${this.#printed}`);
  }

  async #end(signal) {
    const child = this.#child;
    if (child === undefined) return 0;
    const ended = new Promise((then) => child.once("close", (code) => then(code)));
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await ended;
    }
    return child.exitCode;
  }

  async #until(what, so) {
    for (const end = Date.now() + patience; Date.now() < end; await sleep(50)) {
      if (await so()) return;
      if (this.#child.exitCode !== null) break;
    }
    throw new Error(`${binary} did not come to ${what}; it printed:\n${this.#printed}`);
  }
}

/** The host:port of an address with or without a scheme. */
function hostPort(address) {
  return address.replace(/^[a-z]+:\/\//, "").replace(/\/.*$/, "");
}
