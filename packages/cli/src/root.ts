import type { Command } from './command.ts';
import { apply } from './commands/apply.ts';
import { completion } from './commands/completion.ts';
import { deleteCommand } from './commands/delete.ts';
import { down } from './commands/down.ts';
import { exec } from './commands/exec.ts';
import { get } from './commands/get.ts';
import { label } from './commands/label.ts';
import { logs } from './commands/logs.ts';
import { metrics } from './commands/metrics.ts';
import { status } from './commands/status.ts';
import { up } from './commands/up.ts';
import { version } from './commands/version.ts';
import { waypoint } from './commands/waypoint.ts';

const verbs: readonly Command[] = [
  up,
  down,
  status,
  apply,
  deleteCommand,
  get,
  label,
  exec,
  logs,
  waypoint,
  metrics,
  version,
];

/** `ambit` and all its verbs. */
export const ROOT: Command = {
  name: 'ambit',
  summary: 'Ambit: an ambient service mesh, on one machine or many.',
  examples: [
    ['run the mesh and the pods of a folder of YAML', 'ambit up examples/egress'],
    ['put a namespace into the mesh', 'ambit label namespace default istio.io/dataplane-mode=ambient'],
    ['give a namespace a waypoint', 'ambit waypoint apply --enroll-namespace -n istio-egress'],
  ],
  commands: [...verbs, completion(verbs)],
};
