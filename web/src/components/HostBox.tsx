import { useRef } from "preact/hooks";
import type { Host, Task } from "../api";
import { cpus, memory, percent } from "../format";
import { empty, lanesFor, pack, type Slot } from "../pack";
import { Block } from "./Block";
import type { Shown } from "./Hosts";
import { Use } from "./Use";

/** One host: a hold as wide as its CPU, with a block for each task. */
export function HostBox({ host, tasks, ghosts, colours, focus }: Shown & { host: Host }) {
  const hold = useRef(empty);
  const lanes = lanesFor(host.cpu);
  const { scale, slots } = pack(hold.current, tasks.map((t) => ({ id: t.id, size: t.cpu })), host.cpu, lanes);
  const drawn = new Map<string, Slot>(slots);
  for (const { task } of ghosts) {
    const slot = hold.current.slots.get(task.id);
    if (slot) drawn.set(task.id, slot); // it fades where it was
  }
  hold.current = { scale, slots: drawn };

  const open = host.connected && host.status === "ACTIVE";
  const state = host.connected ? host.status.toLowerCase() : "disconnected";
  return (
    <article
      class="host"
      data-testid="host"
      data-id={host.id}
      data-status={host.status}
      data-open={open}
      aria-label={`Host ${host.address || host.id}, ${state}, ${tasks.length} tasks, ${percent(host.cpu - host.cpuFree, host.cpu)} of CPU reserved`}
    >
      <header>
        <b title={host.id}>{host.address || host.id}</b>
        {!open && <span class="badge warn">{state}</span>}
        <span class="free" title={`Free: CPUs and memory that no task reserves, of ${cpus(host.cpu)} CPU and ${memory(host.memory)}`}>
          {cpus(host.cpuFree)} CPU · {memory(host.memoryFree)} free
        </span>
      </header>
      <ul class="hold" style={{ "--lanes": String(lanes) }} aria-label="Tasks">
        {tasks.map((task) => (
          <Block key={task.id} task={task} slot={drawn.get(task.id)} colour={colours[task.service ?? ""]} focus={focus} />
        ))}
        {ghosts.map(
          ({ task }) =>
            drawn.has(task.id) && <Block key={`${task.id} gone`} task={task} slot={drawn.get(task.id)} colour={colours[task.service ?? ""]} focus={focus} gone />,
        )}
      </ul>
      <MemoryLine host={host} tasks={tasks} colours={colours} />
      <Use used={host.used} reserved={{ cpu: host.cpu - host.cpuFree, memory: host.memory - host.memoryFree }} />
    </article>
  );
}

/** How much of the memory each service reserves. */
function MemoryLine({ host, tasks, colours }: { host: Host; tasks: Task[]; colours: Record<string, number> }) {
  const held = new Map<string, number>();
  for (const task of tasks) held.set(task.service ?? "", (held.get(task.service ?? "") ?? 0) + task.memory);
  const used = host.memory - host.memoryFree;
  return (
    <div class="memory" role="img" aria-label={`Memory: ${memory(used)} of ${memory(host.memory)} reserved`} title={`Memory: ${memory(used)} of ${memory(host.memory)} reserved`}>
      {Object.keys(colours).map((service) => (
        <i key={service} style={{ width: `${host.memory > 0 ? ((held.get(service) ?? 0) / host.memory) * 100 : 0}%`, background: `var(--c${colours[service]})` }} />
      ))}
    </div>
  );
}
