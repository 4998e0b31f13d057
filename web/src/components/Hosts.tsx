import type { Host, Task } from "../api";
import type { Ghost } from "../state";
import { HostBox } from "./HostBox";
import { Block } from "./Block";

export interface Shown {
  tasks: Task[];
  ghosts: Ghost[];
  colours: Record<string, number>;
  /** The service that stands out; the others step back. */
  focus: string | null;
}

/** The hosts by zone, each filled by its tasks, and the tasks without one. */
export function Hosts({ hosts, ...shown }: Shown & { hosts: Host[] }) {
  const zones = new Map<string, Host[]>();
  for (const host of hosts) zones.set(host.zone, [...(zones.get(host.zone) ?? []), host]);
  return (
    <section class="panel" aria-labelledby="hosts-title">
      <div class="panel-head">
        <h2 id="hosts-title">Hosts</h2>
        <Key />
      </div>
      <div class="zones">
        {hosts.length === 0 && <p class="empty">No host has joined the cluster yet.</p>}
        {[...zones].map(([zone, members]) => (
          <section class="zone" key={zone} aria-label={`Zone ${zone || "unknown"}`}>
            <h3>{zone || "no zone"}</h3>
            {members.map((host) => (
              <HostBox
                key={host.id}
                host={host}
                {...shown}
                tasks={shown.tasks.filter((t) => t.host === host.id)}
                ghosts={shown.ghosts.filter((g) => g.task.host === host.id)}
              />
            ))}
          </section>
        ))}
      </div>
      <Waiting {...shown} />
    </section>
  );
}

/** What the looks of the blocks mean. */
function Key() {
  return (
    <ul class="key" aria-label="Key">
      <li>
        <i class="swatch" data-look="starting" /> starting
      </li>
      <li>
        <i class="swatch" data-look="running" /> running
      </li>
      <li>
        <i class="swatch" data-look="running" data-protected="true" /> protected
      </li>
      <li>
        <i class="swatch" data-look="leaving" /> leaving
      </li>
    </ul>
  );
}

/** The tasks that no host has room for. */
function Waiting({ tasks, colours, focus }: Shown) {
  const waiting = tasks.filter((t) => !t.host);
  return (
    <div class="waiting" data-testid="waiting">
      <h3 id="waiting-title">Waiting for room</h3>
      {waiting.length === 0 ? (
        <p class="empty">none</p>
      ) : (
        <ul aria-labelledby="waiting-title">
          {waiting.map((task) => (
            <Block key={task.id} task={task} colour={colours[task.service ?? ""]} focus={focus} />
          ))}
        </ul>
      )}
    </div>
  );
}
