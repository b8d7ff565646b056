import type { EnrolmentPod } from '@ambit/cni/enrolment';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import type { ObjectStore } from '@ambit/controlplane/collections/object-store';
import { OUTSIDE_ANNOTATION } from './attachments.ts';
import { hasIpv6, netnsPath } from './cluster.ts';
import { record } from './fields.ts';
import type { Pod } from './pod/pod.ts';

const MODE_LABEL = 'istio.io/dataplane-mode';
const BOOLEANS: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

/** Istio's default enrolment rule: the pod says `ambient`, or its namespace does and the pod does not say `none`. Never: host-network pods, the world outside. */
export function isEnrolled(pod: KubeObject, namespace: KubeObject | undefined): boolean {
  if (record(pod.spec)['hostNetwork'] === true || pod.metadata.annotations?.[OUTSIDE_ANNOTATION] !== undefined)
    return false;
  const own = pod.metadata.labels?.[MODE_LABEL];
  return own === 'ambient' || (namespace?.metadata.labels?.[MODE_LABEL] === 'ambient' && own !== 'none');
}

/** The running pods as enrolment wants to see them; pods without a network of their own are left out. */
export function* enrolmentPods(pods: Iterable<Pod>, store: ObjectStore): Iterable<EnrolmentPod> {
  for (const pod of pods) {
    if (pod.network === undefined || pod.ended) continue;
    const { metadata } = pod.object;
    const namespace = metadata.namespace ?? 'default';
    yield {
      uid: metadata.uid ?? '',
      name: metadata.name,
      namespace,
      serviceAccount: pod.spec.serviceAccount,
      netnsPath: netnsPath(pod.network.netns),
      enrol: isEnrolled(pod.object, store.get('Namespace', undefined, namespace)),
      dnsCapture: flag(pod.object, 'ambient.istio.io/dns-capture') ?? true,
      bypassInbound: flag(pod.object, 'ambient.istio.io/bypass-inbound-capture') ?? false,
      ipv6: hasIpv6(),
    };
  }
}

/** A boolean annotation; undefined when it is absent or no boolean. */
const flag = (pod: KubeObject, annotation: string): boolean | undefined =>
  BOOLEANS[pod.metadata.annotations?.[annotation] ?? ''];
