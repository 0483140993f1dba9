{{/* The secret by which users is reached over TLS: the chart's own, or one that is there already. */}}
{{- define "tovar.usersTlsSecret" -}}
{{- (include "tovar.global" . | fromYaml).tls.secret | default (printf "%s-tls" (include "tovar.nameOf" (list . "users"))) -}}
{{- end }}

{{/* An authority, whose key is thrown away, and the certificate of users that it vouches for: made once, and kept. */}}
{{- define "tovar.usersTls" -}}
{{- if not (include "tovar.global" . | fromYaml).tls.secret }}
{{- $name := include "tovar.name" . }}
{{- $secret := include "tovar.usersTlsSecret" . }}
{{- $kept := ((lookup "v1" "Secret" .Release.Namespace $secret).data) | default dict }}
{{- if not (and (index $kept "ca.crt") (index $kept "tls.crt") (index $kept "tls.key")) }}
{{- $authority := genCAWithKey "Tovar, users" 3650 (genPrivateKey "ecdsa") }}
{{- $names := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) }}
{{- $made := genSignedCertWithKey $name nil $names 3650 $authority (genPrivateKey "ecdsa") }}
{{- $kept = dict "ca.crt" ($authority.Cert | b64enc) "tls.crt" ($made.Cert | b64enc) "tls.key" ($made.Key | b64enc) }}
{{- end }}
---
apiVersion: v1
kind: Secret
metadata: {{- include "tovar.metadata" (list . "service" $secret) | nindent 2 }}
  # As the other secrets: pods that are there have read it.
  annotations: {helm.sh/resource-policy: keep}
type: kubernetes.io/tls
data:
  {{- range tuple "ca.crt" "tls.crt" "tls.key" }}
  {{ . }}: {{ index $kept . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What a service needs of TLS, as files: users its certificate, the others the authority of who shows the token keys. */}}
{{- define "tovar.tls" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- if eq $root.Chart.Name "users" -}}
{{- dict "secret" (include "tovar.usersTlsSecret" $root) "files" (list "tls.crt" "tls.key") | toYaml -}}
{{- else if not $o.jwksUrl -}}
{{- dict "secret" (include "tovar.usersTlsSecret" $root) "files" (list "ca.crt") | toYaml -}}
{{- else if hasPrefix "https" $o.jwksUrl -}}
{{- dict "secret" (required (printf "jwksUrl=%s needs jwksCa.secret" $o.jwksUrl) $o.jwksCa.secret) "key" $o.jwksCa.key "files" (list "ca.crt") | toYaml -}}
{{- else if $o.jwksCa.secret -}}
{{- fail (printf "jwksCa.secret is of no use with jwksUrl=%s" $o.jwksUrl) -}}
{{- end -}}
{{- end }}

{{/* The settings that name these files. */}}
{{- define "tovar.tlsEnv" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- if eq $root.Chart.Name "users" }}
- {name: HTTPS_LISTEN, value: "0.0.0.0:8443"}
- {name: HTTPS_CERTIFICATE, value: /etc/tovar-tls/tls.crt}
- {name: HTTPS_KEY, value: /etc/tovar-tls/tls.key}
{{- else }}
- {name: JWKS_URL, value: {{ $o.jwksUrl | default (printf "https://%s:8443/.well-known/jwks.json" (include "tovar.nameOf" (list $root "users"))) | quote }}}
{{- if include "tovar.tls" . }}
- {name: JWKS_CA, value: /etc/tovar-tls/ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{/* The files themselves, as a volume, if there are any. */}}
{{- define "tovar.tlsVolume" -}}
{{- with include "tovar.tls" . | fromYaml }}
{{- $tls := . }}
- name: tls
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      {{- range .files }}
      - {key: {{ $tls.key | default . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- end }}
