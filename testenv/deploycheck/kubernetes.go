package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// cluster is what all manifests together would make.
type cluster struct {
	maps, secrets, claims map[string]bool
	workloads             []workload
	selectors             []selector
}

// workload is a pod template and where it comes from.
type workload struct {
	name     string
	selector *metav1.LabelSelector
	template *corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
}

// selector must find a workload, and the ports that it names there.
type selector struct {
	name   string
	labels map[string]string
	ports  []string
}

// checkKubernetes decodes all manifests and follows every reference between them.
func checkKubernetes(paths []string) error {
	c := &cluster{maps: map[string]bool{}, secrets: map[string]bool{}, claims: map[string]bool{}}
	var errs []error
	for _, path := range paths {
		if err := c.read(path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, w := range c.workloads {
		errs = append(errs, c.checkWorkload(w))
	}
	for _, s := range c.selectors {
		errs = append(errs, c.checkSelector(s))
	}
	return errors.Join(errs...)
}

func (c *cluster) read(path string) error {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = c.decode(document)
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// decode is strict: an unknown, doubled or mistyped field is an error.
func (c *cluster) decode(document []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 ConfigMap":
		return into(document, func(o *corev1.ConfigMap) { c.maps[o.Name] = true })
	case "v1 Secret":
		return into(document, func(o *corev1.Secret) { c.secrets[o.Name] = true })
	case "v1 PersistentVolumeClaim":
		return into(document, func(o *corev1.PersistentVolumeClaim) { c.claims[o.Name] = true })
	case "v1 Service":
		return into(document, func(o *corev1.Service) {
			s := selector{name: "Service " + o.Name, labels: o.Spec.Selector}
			for _, p := range o.Spec.Ports {
				s.ports = append(s.ports, p.TargetPort.String())
			}
			c.selectors = append(c.selectors, s)
		})
	case "policy/v1 PodDisruptionBudget":
		return into(document, func(o *policyv1.PodDisruptionBudget) {
			c.selectors = append(c.selectors, selector{name: "PodDisruptionBudget " + o.Name,
				labels: o.Spec.Selector.MatchLabels})
		})
	case "networking.k8s.io/v1 NetworkPolicy":
		return into(document, c.addPolicy)
	case "apps/v1 Deployment":
		return into(document, func(o *appsv1.Deployment) {
			c.workloads = append(c.workloads, workload{name: "Deployment " + o.Name,
				selector: o.Spec.Selector, template: &o.Spec.Template})
		})
	case "apps/v1 StatefulSet":
		return into(document, func(o *appsv1.StatefulSet) {
			c.workloads = append(c.workloads, workload{name: "StatefulSet " + o.Name,
				selector: o.Spec.Selector, template: &o.Spec.Template,
				claims: o.Spec.VolumeClaimTemplates})
		})
	}
	return fmt.Errorf("%s %s is not known to deploycheck", kind.APIVersion, kind.Kind)
}

func (c *cluster) addPolicy(o *networkingv1.NetworkPolicy) {
	s := selector{name: "NetworkPolicy " + o.Name, labels: o.Spec.PodSelector.MatchLabels}
	for _, rule := range o.Spec.Ingress {
		for _, p := range rule.Ports {
			s.ports = append(s.ports, p.Port.String())
		}
	}
	c.selectors = append(c.selectors, s)
}

func into[T any](document []byte, add func(*T)) error {
	// As the API server does: case-sensitive, unlike encoding/json.
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	o := new(T)
	faults, err := json.UnmarshalStrict(text, o)
	if err := errors.Join(append(faults, err)...); err != nil {
		return err
	}
	add(o)
	return nil
}

// checkWorkload follows the references of a pod template.
func (c *cluster) checkWorkload(w workload) error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(w.name+": "+format, args...))
	}
	chosen, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil || !chosen.Matches(labels.Set(w.template.Labels)) {
		fault("its selector does not find its own pods: %v", err)
	}
	volumes := map[string]bool{}
	for _, claim := range w.claims {
		volumes[claim.Name] = true
	}
	for _, v := range w.template.Spec.Volumes {
		volumes[v.Name] = true
		switch {
		case v.ConfigMap != nil && !c.maps[v.ConfigMap.Name],
			v.Secret != nil && !c.secrets[v.Secret.SecretName],
			v.PersistentVolumeClaim != nil && !c.claims[v.PersistentVolumeClaim.ClaimName]:
			fault("volume %s refers to something that no manifest makes", v.Name)
		}
	}
	if grace := w.template.Spec.TerminationGracePeriodSeconds; grace == nil ||
		float64(*grace) <= drainMost.Seconds() {
		fault("terminationGracePeriodSeconds does not exceed %s", drainMost)
	}
	relays := 0
	all := append(w.template.Spec.InitContainers, w.template.Spec.Containers...)
	for i, container := range all {
		for _, m := range container.VolumeMounts {
			if !volumes[m.Name] {
				fault("container %s mounts %s, which is no volume", container.Name, m.Name)
			}
		}
		if container.Name == "hookspool" {
			relays++
			sidecar := i < len(w.template.Spec.InitContainers)
			errs = append(errs, checkRelay(w.name, container, sidecar))
		}
	}
	if all[0].Name == "nats" {
		return errors.Join(append(errs, checkNode(w))...)
	}
	if relays != 1 {
		fault("it has %d containers named hookspool", relays)
	}
	return errors.Join(errs...)
}

// checkNode wants of NATS servers that no two are lost together: each on a node and a volume of its
// own, and time to leave.
func checkNode(w workload) error {
	spec, c := w.template.Spec, w.template.Spec.Containers[0]
	store := false
	for _, m := range c.VolumeMounts {
		store = store || m.MountPath == "/data" && len(w.claims) == 1 && m.Name == w.claims[0].Name
	}
	apart := spec.Affinity != nil && spec.Affinity.PodAntiAffinity != nil &&
		len(spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) == 1
	var errs []error
	if !store || !apart {
		errs = append(errs, fmt.Errorf("%s: its store is on no claim, or two share a node", w.name))
	}
	if grace := spec.TerminationGracePeriodSeconds; grace == nil ||
		float64(*grace) <= leaveMost.Seconds() {
		errs = append(errs, fmt.Errorf("%s: terminationGracePeriodSeconds does not exceed %s", w.name,
			leaveMost))
	}
	if c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil {
		errs = append(errs, fmt.Errorf("%s: it lacks a probe", w.name))
	}
	return errors.Join(errs...)
}

// checkRelay wants of the relay's container what the manual promises.
func checkRelay(name string, c corev1.Container, sidecar bool) error {
	var errs []error
	always := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	if sidecar != always {
		errs = append(errs, fmt.Errorf("%s: an init container without restartPolicy Always is no "+
			"sidecar, and only a sidecar has one", name))
	}
	for what, p := range map[string]*corev1.Probe{"startup": c.StartupProbe,
		"readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if p == nil || p.Exec == nil || len(p.Exec.Command) < 2 || p.Exec.Command[1] != "healthcheck" {
			errs = append(errs, fmt.Errorf("%s: its %s probe does not use healthcheck", name, what))
		}
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil ||
		!*s.ReadOnlyRootFilesystem {
		errs = append(errs, fmt.Errorf("%s: its root file system can be written", name))
	}
	return errors.Join(errs...)
}

// checkSelector wants a workload with these labels, and the named ports in it.
func (c *cluster) checkSelector(s selector) error {
	for _, w := range c.workloads {
		if !labels.SelectorFromSet(s.labels).Matches(labels.Set(w.template.Labels)) {
			continue
		}
		ports := map[string]bool{}
		for _, container := range append(w.template.Spec.InitContainers, w.template.Spec.Containers...) {
			for _, p := range container.Ports {
				ports[p.Name] = true
			}
		}
		for _, name := range s.ports {
			if !ports[name] {
				return fmt.Errorf("%s: %s has no port %s", s.name, w.name, name)
			}
		}
		return nil
	}
	return fmt.Errorf("%s finds no pods", s.name)
}
