import type { Used } from "../api";
import { cpus, memory, percent, usedCpus } from "../format";

interface Props {
  used: Used | undefined;
  /** CPU units and MiB that are reserved. */
  reserved: { cpu: number; memory: number };
}

/** What is really used of what is reserved. */
export function Use({ used, reserved }: Props) {
  return (
    <dl class="use" data-testid="use" data-measured={used !== undefined} title="Measured use, of what is reserved">
      <Part name="CPU" used={used?.cpu} text={usedCpus(used?.cpu)} of={reserved.cpu} whole={cpus(reserved.cpu)} />
      <Part name="memory" used={used?.memory} text={used ? memory(used.memory) : "–"} of={reserved.memory} whole={memory(reserved.memory)} />
    </dl>
  );
}

function Part({ name, used, text, of, whole }: { name: string; used: number | null | undefined; text: string; of: number; whole: string }) {
  const known = used !== null && used !== undefined;
  const over = known && of > 0 && used > of;
  return (
    <div data-use={name} data-over={over}>
      <dt>{name} used</dt>
      <dd>
        <b>{text}</b> / {whole}
        <i class="gauge" aria-hidden="true">
          <i style={{ width: `${known && of > 0 ? Math.min(100, (100 * used) / of) : 0}%` }} />
        </i>
        <span>{known ? percent(used, of) : "–"}</span>
      </dd>
    </div>
  );
}
