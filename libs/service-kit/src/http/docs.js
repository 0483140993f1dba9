// Tokens are not kept: the next person at this browser would have them.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  onComplete: () => fetch("openapi.json").then(r => r.json()).then(api => { document.title = `${api.info.title} API`; }),
});
