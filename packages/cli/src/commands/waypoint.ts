import type { Command } from '../command.ts';
import { waypointApply } from './waypoint-apply.ts';
import { waypointDelete } from './waypoint-delete.ts';
import { waypointGenerate } from './waypoint-generate.ts';
import { waypointList } from './waypoint-list.ts';
import { waypointStatus } from './waypoint-status.ts';

/** `ambit waypoint …`, with istioctl's flags and messages. */
export const waypoint: Command = {
  name: 'waypoint',
  summary: 'Create, look at and remove waypoints: the L7 proxies of namespaces and services.',
  examples: [
    ['give a namespace a waypoint', 'ambit waypoint apply --enroll-namespace -n istio-egress --wait'],
    ['how they are', 'ambit waypoint list -A'],
  ],
  flags: [{ name: 'name', value: 'NAME', summary: 'name of the waypoint (default: waypoint)' }],
  commands: [waypointApply, waypointDelete, waypointGenerate, waypointList, waypointStatus],
};
