import type { KubeObject } from '../collections/object.ts';

/** One GatewayClass that Ambit serves. */
export interface BuiltInClass {
  readonly name: string;
  readonly controller: string;
  readonly description: string;
}

/** Waypoints of Istio's name work unchanged; `ambit-waypoint` says which mesh is meant where both run. */
export const BUILT_IN_CLASSES: readonly BuiltInClass[] = [
  { name: 'istio-waypoint', controller: 'istio.io/mesh-controller', description: 'L7 waypoint of the ambient mesh' },
  { name: 'ambit-waypoint', controller: 'ambit.dev/mesh-controller', description: 'L7 waypoint of an Ambit mesh' },
];

export const WAYPOINT_CLASSES: ReadonlySet<string> = new Set(BUILT_IN_CLASSES.map((one) => one.name));

/** True for the controllers whose classes are waypoints: what a policy may target as a GatewayClass. */
export const isWaypointController = (controller: string | undefined): boolean =>
  BUILT_IN_CLASSES.some((one) => one.controller === controller);

/** The value of `gateway.istio.io/managed` for a controller. */
export const managedLabel = (controller: string): string => controller.replace('/', '-');

export const gatewayClassObject = ({ name, controller, description }: BuiltInClass): KubeObject => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'GatewayClass',
  metadata: { name },
  spec: { controllerName: controller, description },
});
