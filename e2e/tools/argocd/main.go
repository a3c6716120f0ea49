// Asks Argo CD's own code what it makes of objects, with the settings of an argocd-cm: their health, the actions it offers, and what
// an action would do. Reads a JSON list of questions and writes a JSON list of answers; touches no cluster.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apiclient/application"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/health"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

const namespace = "argocd"

type question struct {
	Ask        string            `json:"ask"` // health, actions or run
	Object     map[string]any    `json:"object"`
	Action     string            `json:"action"`
	Parameters map[string]string `json:"parameters"`
}

func main() {
	if err := answerAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answerAll(path string) error {
	overrides, err := overridesIn(path)
	if err != nil {
		return err
	}
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		return err
	}
	answers := []map[string]any{}
	for _, each := range questions {
		found, err := answer(overrides, each)
		if err != nil {
			found = map[string]any{"error": err.Error()}
		}
		answers = append(answers, found)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func answer(overrides lua.ResourceHealthOverrides, asked question) (map[string]any, error) {
	object := &unstructured.Unstructured{Object: asked.Object}
	vm := lua.VM{ResourceOverrides: overrides}
	switch asked.Ask {
	case "health":
		found, err := health.GetResourceHealth(object, overrides)
		return map[string]any{"health": found}, err
	case "actions":
		scripts, err := vm.GetResourceActionDiscovery(object)
		if err != nil {
			return nil, err
		}
		found, err := vm.ExecuteResourceActionDiscovery(object, scripts)
		return map[string]any{"actions": found}, err
	case "run":
		action, err := vm.GetResourceAction(object, asked.Action)
		if err != nil {
			return nil, err
		}
		var parameters []*application.ResourceActionParameters
		for name, value := range asked.Parameters {
			parameters = append(parameters, &application.ResourceActionParameters{Name: &name, Value: &value})
		}
		found, err := vm.ExecuteResourceAction(object, action.ActionLua, parameters)
		made := []map[string]any{}
		for _, each := range found {
			made = append(made, map[string]any{"operation": each.K8SOperation, "resource": each.UnstructuredObj.Object})
		}
		return map[string]any{"resources": made}, err
	}
	return nil, fmt.Errorf("asked for %q", asked.Ask)
}

// overridesIn reads an argocd-cm as Argo CD does.
func overridesIn(path string) (lua.ResourceHealthOverrides, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var written corev1.ConfigMap
	if err := yaml.Unmarshal(text, &written); err != nil {
		return nil, err
	}
	labels := map[string]string{"app.kubernetes.io/part-of": "argocd"}
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: common.ArgoCDConfigMapName, Namespace: namespace, Labels: labels},
		Data:       written.Data,
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: common.ArgoCDSecretName, Namespace: namespace, Labels: labels},
		Data:       map[string][]byte{"server.secretkey": []byte("none"), "admin.password": []byte("none")},
	}
	manager := settings.NewSettingsManager(context.Background(), fake.NewClientset(configMap, secret), namespace)
	overrides, err := manager.GetResourceOverrides()
	return lua.ResourceHealthOverrides(overrides), err
}
