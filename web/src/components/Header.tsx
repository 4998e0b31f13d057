import type { Connection } from "../state";
import type { Snapshot } from "../api";
import { cpus, figure, memory, percent } from "../format";

const said: Record<Connection, string> = {
  connecting: "connecting…",
  live: "live",
  reconnecting: "reconnecting…",
};

interface Props {
  connection: Connection;
  snapshot: Snapshot | null;
  dark: boolean;
  onTheme: () => void;
}

export function Header({ connection, snapshot, dark, onTheme }: Props) {
  return (
    <header class="bar">
      <h1>
        <Mark />
        Plimsoll
        {snapshot && (
          <span class="cluster" title="The cluster's name">
            {snapshot.cluster}
          </span>
        )}
      </h1>
      <Totals snapshot={snapshot} />
      <div class="bar-end">
        <p class="connection" data-testid="connection" data-state={connection} role="status">
          <i aria-hidden="true" />
          {said[connection]}
        </p>
        <button type="button" class="theme" onClick={onTheme} aria-label={dark ? "Light colours" : "Dark colours"} title={dark ? "Light colours" : "Dark colours"}>
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.5" />
            <path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor" />
          </svg>
        </button>
      </div>
    </header>
  );
}

/** The load line: a ring with a line through it. */
function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="22" height="22" fill="none" stroke="currentColor" stroke-width="3" aria-hidden="true">
      <circle cx="16" cy="16" r="10" />
      <path d="M1 16h30" stroke-linecap="round" />
    </svg>
  );
}

function Totals({ snapshot }: { snapshot: Snapshot | null }) {
  const hosts = snapshot?.hosts ?? [];
  const sum = (of: (h: Snapshot["hosts"][number]) => number) => hosts.reduce((n, h) => n + of(h), 0);
  const cpu = sum((h) => h.cpu);
  const cpuUsed = cpu - sum((h) => h.cpuFree);
  const ram = sum((h) => h.memory);
  const ramUsed = ram - sum((h) => h.memoryFree);
  const running = (snapshot?.tasks ?? []).filter((t) => t.lastStatus === "RUNNING").length;
  const waiting = (snapshot?.tasks ?? []).filter((t) => !t.host).length;
  return (
    <dl class="totals" aria-label="Totals of the cluster">
      <Total name="hosts" value={snapshot ? figure(hosts.length) : "–"} />
      <Total name="tasks running" value={snapshot ? figure(running) : "–"} />
      <Total name="waiting" value={snapshot ? figure(waiting) : "–"} />
      <Total name="CPU reserved" value={percent(cpuUsed, cpu)} title={`${cpus(cpuUsed)} of ${cpus(cpu)} CPUs`} />
      <Total name="memory reserved" value={percent(ramUsed, ram)} title={`${memory(ramUsed)} of ${memory(ram)}`} />
    </dl>
  );
}

function Total({ name, value, title }: { name: string; value: string; title?: string }) {
  return (
    <div title={title} class={title && "part"}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
