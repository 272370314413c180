"use strict";
// a file of its own, because the page's policy lets no script run that stands in the page
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    url: document.getElementById("reference").dataset.document,
    dom_id: "#reference",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    // tokens stay in the page's memory: nothing of them is left when it is closed
    persistAuthorization: false,
    // the answer of somebody else's checker would be fetched from elsewhere
    validatorUrl: null,
  });
});
