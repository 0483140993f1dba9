{{/* The options of a service: the library's defaults, then those for all services, then its own. */}}
{{- define "tovar.options" -}}
{{- $defaults := index .Values "tovar-lib" | default dict | deepCopy -}}
{{- $all := (.Values.global).services | default dict | deepCopy -}}
{{- $own := omit .Values "global" "tovar-lib" | deepCopy -}}
{{- omit (mustMergeOverwrite $defaults $all $own) "global" | toYaml -}}
{{- end }}

{{/* What all charts of a release share. */}}
{{- define "tovar.global" -}}
{{- $defaults := dict
  "image" (dict "prefix" "localhost/tovar" "tag" "" "digests" dict "pullPolicy" "" "pullSecrets" list)
  "networkPolicy" (dict "enabled" true "dns" (dict "ports" (list 53 5353) "to" (list
    (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" "kube-system")) "podSelector" (dict "matchExpressions" (list (dict "key" "k8s-app" "operator" "In" "values" (list "kube-dns" "coredns" "node-local-dns")))))
    (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" "openshift-dns")) "podSelector" (dict "matchLabels" (dict "dns.operator.openshift.io/daemonset-dns" "default")))
    (dict "ipBlock" (dict "cidr" "169.254.20.10/32")))))
  "monitoring" (dict "from" list)
  "tls" (dict "secret" "")
  "traces" (dict "endpoint" "" "egress" (dict "to" list "port" 4318))
  "kafka" (dict "mode" "statefulset" "brokers" "" "prefix" "" "security" "plaintext"
    "ca" (dict "secret" "" "key" "ca.crt")
    "sasl" (dict "mechanism" "SCRAM-SHA-512" "username" "" "secret" "" "each" false "usernameKey" "username" "passwordKey" "password")
    "egress" (dict "to" list "port" 9092))
-}}
{{- mustMergeOverwrite $defaults (.Values.global | default dict | deepCopy) | toYaml -}}
{{- end }}

{{/*
A name in the release, such as tovar-orders, of so many characters at most: (list $ part most). Where the release's name must be cut,
its hash follows, so that no two releases have one name.
*/}}
{{- define "tovar.within" -}}
{{- $release := (first .).Release.Name -}}{{- $part := index . 1 -}}{{- $most := last . | int -}}
{{- if not (regexMatch "^[a-zA-Z][a-zA-Z0-9-]*$" $release) -}}
{{- fail (printf "the release's name %s begins Services' names: it must begin with a letter and have no dot" $release) -}}
{{- end -}}
{{- if gt (add (len $release) 1 (len $part) | int) $most -}}
{{- $release = printf "%s-%s" ($release | trunc (sub (sub $most 10) (len $part) | int) | trimSuffix "-") ($release | sha256sum | trunc 8) -}}
{{- end -}}
{{- printf "%s-%s" $release $part -}}
{{- end }}

{{/*
The name of a part of the release, for all who make it or refer to it: (list $ part). With -postgres it is that of a StatefulSet,
which may have 52 characters: Kubernetes adds eleven, and a label has room for 63.
*/}}
{{- define "tovar.nameOf" -}}
{{- include "tovar.within" (list (first .) (last .) 43) -}}
{{- end }}

{{/* The name of what a chart makes. */}}
{{- define "tovar.name" -}}
{{- include "tovar.nameOf" (list . .Chart.Name) -}}
{{- end }}

{{/* Labels by which pods are selected: (list $ component). */}}
{{- define "tovar.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* Labels of everything: (list $ component). */}}
{{- define "tovar.labels" -}}
{{- $root := first . -}}
{{ include "tovar.selector" . }}
app.kubernetes.io/part-of: tovar
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The metadata of an object: (list $ component name). */}}
{{- define "tovar.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels: {{- include "tovar.labels" (list $root (index . 1)) | nindent 2 }}
{{- end }}

{{/* An image of the store: (list $ program). */}}
{{- define "tovar.image" -}}
{{- $root := first . -}}
{{- $image := (include "tovar.global" $root | fromYaml).image -}}
{{- printf "%s/%s:%s" $image.prefix (last .) ($image.tag | default $root.Chart.AppVersion) -}}
{{- with index $image.digests (last .) -}}@{{ . }}{{- end -}}
{{- end }}

{{/* When a node pulls an image of the store: never where no registry can have it, as it was loaded onto the node. */}}
{{- define "tovar.pullPolicy" -}}
{{- $image := (include "tovar.global" . | fromYaml).image -}}
{{- $image.pullPolicy | default (ternary "Never" "IfNotPresent" (hasPrefix "localhost/" $image.prefix)) -}}
{{- end }}
