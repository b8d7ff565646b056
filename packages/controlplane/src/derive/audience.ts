/** A resource of the L7 wire and the only waypoint (`namespace/name`) that gets it. */
export interface Audience<T> {
  readonly waypoint: string;
  readonly name: string;
  readonly value: T;
}
