import { type Command, EXIT } from '../command.ts';
import { parseFormat } from '../output.ts';
import { waypointGateway } from '../waypoint-gateway.ts';

/** `ambit waypoint generate`. */
export const waypointGenerate: Command = {
  name: 'generate',
  summary: 'Print the YAML of a waypoint instead of applying it.',
  examples: [['keep it in a file', 'ambit waypoint generate -n istio-egress > waypoint.yaml']],
  flags: [
    { name: 'for', value: 'TYPE', summary: 'traffic type: service, workload, all or none' },
    { name: 'revision', short: 'r', value: 'NAME', summary: 'control plane revision' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json or yaml' },
  ],
  async run({ flags, out }) {
    const gateway = waypointGateway(flags, flags.text('namespace'));
    if (parseFormat(flags.text('output') ?? 'yaml', ['json', 'yaml']) === 'json') out.json(gateway);
    else out.yaml(gateway);
    return EXIT.ok;
  },
};
